//! libtorch's fused convolution, which its C++ and Python interfaces do not show.
//!
//! PyTorch's compiler calls these C functions from the programs that it makes
//! (`torch/csrc/inductor/aoti_torch/c/shim_cpu.h` in libtorch's headers), so they are kept stable. They are
//! looked up at run time: a libtorch without oneDNN has none.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use casm_core::network::{Activation, Conv2d};
use libloading::os::unix::{Library, RTLD_LAZY};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// A tensor as these functions take and give it: tch's own pointer.
type Handle = *mut C_tensor;

#[rustfmt::skip]
type Plain = unsafe extern "C" fn(
    x: Handle, weight: Handle, bias: *mut Handle,
    padding: *const i64, i64, stride: *const i64, i64, dilation: *const i64, i64, groups: i64,
    activation: *const c_char, scalars: *const *const f64, i64, algorithm: *const *const c_char,
    result: *mut Handle,
) -> i32;

#[rustfmt::skip]
type Binary = unsafe extern "C" fn(
    x_or_other: Handle, other_or_x: Handle, weight: Handle, bias: *mut Handle,
    padding: *const i64, i64, stride: *const i64, i64, dilation: *const i64, i64, groups: i64,
    binary: *const c_char, alpha: *mut f64,
    activation: *const *const c_char, scalars: *const *const f64, i64, algorithm: *const *const c_char,
    result: *mut Handle,
) -> i32;

/// The functions.
pub struct Functions {
    plain: Plain,
    sum: Binary,
    /// Writes the result over what is added, and has the first two arguments the other way round.
    sum_in_place: Binary,
}

/// The functions of the libtorch that is loaded, if it has them.
pub fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(find).as_ref()
}

fn find() -> Option<Functions> {
    /// Only what is loaded already; `dlfcn.h` of glibc.
    const RTLD_NOLOAD: i32 = 4;
    // SAFETY: libtorch is loaded, since this code is linked to it, and stays for good; the types are those
    // of its header.
    unsafe {
        let library = Library::open(Some("libtorch_cpu.so"), RTLD_LAZY | RTLD_NOLOAD).ok()?;
        let name = |suffix: &str| format!("aoti_torch_cpu_mkldnn__convolution_pointwise{suffix}");
        let plain = *library.get::<Plain>(name("").as_bytes()).ok()?;
        let sum = *library.get::<Binary>(name("_binary").as_bytes()).ok()?;
        let sum_in_place = *library.get::<Binary>(name("_binary_").as_bytes()).ok()?;
        Some(Functions {
            plain,
            sum,
            sum_in_place,
        })
    }
}

const RELU: &CStr = c"relu";
const NONE: &CStr = c"none";
const ADD: &CStr = c"add";
/// ReLU6 by the name that oneDNN's callers use, with its two bounds.
const HARDTANH: &CStr = c"hardtanh";
static BOUNDS: [f64; 2] = [0.0, 6.0];

impl Functions {
    /// The convolution of `x` with a packed weight, and an activation after it.
    ///
    /// # Errors
    /// libtorch refuses; it says why on standard error.
    pub fn convolve(
        &self,
        conv: &Conv2d,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Option<Activation>,
    ) -> Result<Tensor, TchError> {
        let sizes = Sizes::of(conv);
        let bounds = [&raw const BOUNDS[0], &raw const BOUNDS[1]];
        let (name, scalars) = match activation {
            None => (NONE, &bounds[..0]),
            Some(Activation::Relu) => (RELU, &bounds[..0]),
            Some(Activation::Relu6) => (HARDTANH, &bounds[..]),
        };
        let mut bias = bias.as_ptr().cast_mut();
        let mut result = std::ptr::null_mut();
        // SAFETY: all pointers live through the call; the tensors are only read.
        let status = unsafe {
            (self.plain)(
                x.as_ptr().cast_mut(),
                weight.as_ptr().cast_mut(),
                &mut bias,
                sizes.padding.as_ptr(),
                2,
                sizes.stride.as_ptr(),
                2,
                sizes.dilation.as_ptr(),
                2,
                sizes.groups,
                name.as_ptr(),
                scalars.as_ptr(),
                scalars.len() as i64,
                std::ptr::null(),
                &mut result,
            )
        };
        own(status, result)
    }

    /// [`Functions::convolve`] with `added` added before the activation, which is a ReLU or none. Where
    /// `in_place`, the result is `added` itself.
    ///
    /// # Errors
    /// libtorch refuses; it says why on standard error.
    #[allow(clippy::too_many_arguments)] // The convolution's own, and two of the sum.
    pub fn convolve_and_add(
        &self,
        conv: &Conv2d,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        added: &Tensor,
        in_place: bool,
        relu: bool,
    ) -> Result<Tensor, TchError> {
        let sizes = Sizes::of(conv);
        let relu = relu.then_some(RELU.as_ptr());
        let relu = relu
            .as_ref()
            .map_or(std::ptr::null(), |name| &raw const *name);
        let (function, first, second) = match in_place {
            true => (self.sum_in_place, added, x),
            false => (self.sum, x, added),
        };
        let mut bias = bias.as_ptr().cast_mut();
        let mut result = std::ptr::null_mut();
        // SAFETY: all pointers live through the call. In place, `added` is written; its owner gives it up.
        let status = unsafe {
            function(
                first.as_ptr().cast_mut(),
                second.as_ptr().cast_mut(),
                weight.as_ptr().cast_mut(),
                &mut bias,
                sizes.padding.as_ptr(),
                2,
                sizes.stride.as_ptr(),
                2,
                sizes.dilation.as_ptr(),
                2,
                sizes.groups,
                ADD.as_ptr(),
                std::ptr::null_mut(),
                relu,
                std::ptr::null(),
                0,
                std::ptr::null(),
                &mut result,
            )
        };
        own(status, result)
    }
}

/// A convolution's sizes as these functions take them.
struct Sizes {
    padding: [i64; 2],
    stride: [i64; 2],
    dilation: [i64; 2],
    groups: i64,
}

impl Sizes {
    fn of(conv: &Conv2d) -> Sizes {
        Sizes {
            padding: [conv.padding as i64; 2],
            stride: [conv.stride as i64; 2],
            dilation: [1; 2],
            groups: conv.groups as i64,
        }
    }
}

fn own(status: i32, result: Handle) -> Result<Tensor, TchError> {
    if status != 0 || result.is_null() {
        let reason = "its fused convolution failed; the reason is on standard error";
        return Err(TchError::Torch(reason.to_owned()));
    }
    // SAFETY: a new tensor that is ours to free.
    Ok(unsafe { Tensor::from_ptr(result) })
}
