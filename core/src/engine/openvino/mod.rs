//! The OpenVINO engine: on x86 CPUs faster than libtorch.
//!
//! OpenVINO is found at run time and never linked ([`library`]); the network goes to it in its own format
//! ([`ir`]), so neither Python nor ONNX is needed. It has pools of threads of its own and, unlike OpenMP's,
//! their idle threads do not spin.

mod ir;
mod library;

use openvino::{
    CompiledModel, Core, DeviceType, ElementType, InferRequest, InferenceError, PropertyKey,
    RwPropertyKey, SetupError, Shape, Tensor,
};

use self::ir::Ir;
use super::backend::Backend;
use super::machine::{cpu_has_bf16, cpu_sums_bytes, has_nvidia_driver};
use super::{Device, Engine, EngineDescription, EngineOptions, Output, Precision};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::network::{Folded, Graph, values_in_f32, without_activation};

const NAME: &str = "openvino";
/// Batch sizes that stay compiled: one for a stream, or two for a long run and its last batch.
const COMPILED: usize = 2;

/// The row of the table of engines.
pub(super) struct OpenVino;

impl Backend for OpenVino {
    fn name(&self) -> &'static str {
        NAME
    }

    fn find(&self) -> Result<String> {
        let path = library::find()?;
        Ok(format!("{}, {}", library::load()?, path.display()))
    }

    fn suits(&self, options: &EngineOptions) -> Result<(), String> {
        match options.device {
            Device::Cuda(_) => return Err("it computes on the CPU only".to_owned()),
            Device::Auto if has_nvidia_driver() => {
                return Err("it computes on the CPU only, and there is an NVIDIA driver".to_owned());
            }
            Device::Auto | Device::Cpu => {}
        }
        if options.precision == Precision::F16 {
            return Err("it does not compute in f16".to_owned());
        }
        library::find().map(|_| ()).map_err(|error| match error {
            Error::EngineLibrary { reason, .. } => reason,
            other => other.to_string(),
        })
    }

    fn open(&self, checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Box<dyn Engine>> {
        Ok(Box::new(OpenVinoEngine::open(checkpoint, options)?))
    }
}

/// One checkpoint on the CPU.
struct OpenVinoEngine {
    description: EngineDescription,
    /// The last used first.
    compiled: Vec<Compiled>,
    ir: Ir,
    weights: Tensor,
    core: Core,
    picture_bytes: usize,
    mask_values: usize,
    classes: usize,
}

/// The network for one batch size.
struct Compiled {
    batch: usize,
    request: InferRequest,
}

impl OpenVinoEngine {
    fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<OpenVinoEngine> {
        if let Device::Cuda(_) = options.device {
            return Err(Error::Device {
                device: options.device.to_string(),
                reason: "the openvino engine computes on the CPU only; use engine=torch".to_owned(),
            });
        }
        let precision = match options.precision {
            // Not bf16, although it is faster: see [`Precision::Auto`].
            Precision::Auto | Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            // What is not quantised.
            Precision::Int8 if cpu_has_bf16() => "bf16",
            Precision::Int8 => "f32",
            Precision::F16 => {
                let reason = "it does not compute in f16; use precision=bf16, or engine=torch";
                return Err(failure(reason.to_owned()));
            }
        };
        let version = library::load()?;
        let header = checkpoint.header();
        let size = header.input.size as usize;
        let quantization = match options.precision {
            Precision::Int8 => Some(header.require_quantization(checkpoint.origin())?),
            _ => None,
        };
        let mut folded = Folded::from_checkpoint(checkpoint)?;
        let mut wide = vec![false; folded.graph.layers().len()];
        // Elsewhere it computes in f32, and says so; int8 leaves the rest as it is.
        if options.precision == Precision::Bf16 && cpu_has_bf16() {
            wide = begins_in_f32(&folded.graph);
            // It makes every bias bf16 whose result is.
            let made_up_for = without_activation(&folded.graph);
            folded = folded.for_bf16(|layer| !wide[layer], |layer| made_up_for[layer]);
        }
        let whole = quantization.map(|quantization| (quantization, largest_weight()));
        let mut ir = Ir::new(&folded, size, whole, |layer| wide[layer]);
        let mut core = core(precision, options.threads)?;
        let weights = weights(&std::mem::take(&mut ir.weights)).map_err(inference)?;
        // Everything that can go wrong does so now rather than at the first frame.
        let (first, model) = compile(&mut core, &ir, &weights, 1).map_err(inference)?;
        let mut description = describe(&model, version, precision);
        if quantization.is_some() {
            description.precision = Precision::Int8;
        }
        Ok(OpenVinoEngine {
            description,
            compiled: vec![first],
            ir,
            weights,
            core,
            picture_bytes: size * size * 3,
            mask_values: header.mask_size() * header.mask_size(),
            classes: header.network.classes(),
        })
    }

    /// The network for this batch size, compiled if it is not one of the last.
    fn compiled(&mut self, batch: usize) -> Result<&mut Compiled, InferenceError> {
        match self.compiled.iter().position(|known| known.batch == batch) {
            Some(position) => self.compiled[..=position].rotate_right(1),
            None => {
                let (compiled, _) = compile(&mut self.core, &self.ir, &self.weights, batch)?;
                self.compiled.truncate(COMPILED - 1);
                self.compiled.insert(0, compiled);
            }
        }
        Ok(&mut self.compiled[0])
    }
}

impl Engine for OpenVinoEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let expected = batch.checked_mul(self.picture_bytes);
        if batch == 0 || expected != Some(pixels.len()) {
            let (found, needed) = (pixels.len(), self.picture_bytes);
            return Err(failure(format!(
                "{found} bytes are not {batch} pictures of {needed}"
            )));
        }
        let (masks, logits) = (batch * self.mask_values, batch * self.classes);
        let request = &mut self.compiled(batch).map_err(inference)?.request;
        let mut input = request.get_input_tensor().map_err(inference)?;
        let room = input.get_raw_data_mut().map_err(inference)?;
        if room.len() != pixels.len() {
            return Err(failure("its input has another size than ours".to_owned()));
        }
        room.copy_from_slice(pixels);
        request.infer().map_err(inference)?;
        copy(request, 0, masks, &mut output.masks)?;
        copy(request, 1, logits, &mut output.logits)
    }
}

/// The layers before which nothing is in bf16. The levels behind the encoder OpenVINO computes in bf16 and the last convolution's
/// result in f32: all of the end in f32 was no nearer (the masks' mean difference 0.00267 instead of 0.00268 on eight pictures).
fn begins_in_f32(graph: &Graph) -> Vec<bool> {
    let mut begins: Vec<bool> = Vec::new();
    for (layer, wide) in graph.layers().iter().zip(values_in_f32(graph)) {
        let mut inputs = layer.inputs.iter();
        begins.push(wide && inputs.all(|value| begins[value.index()]));
    }
    begins
}

/// The largest whole number of an int8 weight on this CPU: 127; without instructions for sums of products of bytes half of it,
/// because those that it has instead add two products in 16 bits, where 255 × 64 × 2 has room and 255 × 127 × 2 has not.
fn largest_weight() -> i8 {
    if cpu_sums_bytes() { 127 } else { 64 }
}

/// A core whose models are compiled for one stream of pictures.
fn core(precision: &str, threads: usize) -> Result<Core> {
    let mut core = Core::new().map_err(|error| match error {
        SetupError::Inference(error) => inference(error),
        SetupError::Loading(error) => failure(error.to_string()),
    })?;
    let threads = threads.to_string();
    let properties = [
        (RwPropertyKey::HintInferencePrecision, precision),
        (RwPropertyKey::HintPerformanceMode, "LATENCY"),
        // Pinned threads wait for their core while a decoder has it.
        (RwPropertyKey::HintEnableCpuPinning, "NO"),
        // 0: all of them, the default.
        (RwPropertyKey::InferenceNumThreads, threads.as_str()),
    ];
    core.set_properties(&DeviceType::CPU, properties)
        .map_err(inference)?;
    Ok(core)
}

/// The values of all layers in memory of OpenVINO's own, which compiled models may go on using.
fn weights(values: &[u8]) -> Result<Tensor, InferenceError> {
    let shape = Shape::new(&[i64::try_from(values.len()).unwrap_or(i64::MAX)])?;
    let mut tensor = Tensor::new(ElementType::U8, &shape)?;
    tensor.get_raw_data_mut()?.copy_from_slice(values);
    Ok(tensor)
}

fn compile(
    core: &mut Core,
    ir: &Ir,
    weights: &Tensor,
    batch: usize,
) -> Result<(Compiled, CompiledModel), InferenceError> {
    let model = core.read_model_from_buffer(ir.xml(batch).as_bytes(), Some(weights))?;
    let mut compiled = core.compile_model(&model, DeviceType::CPU)?;
    let request = compiled.create_infer_request()?;
    Ok((Compiled { batch, request }, compiled))
}

/// What was opened, by OpenVINO's own account: a CPU without bf16 computes in f32.
fn describe(model: &CompiledModel, version: String, precision: &str) -> EngineDescription {
    let property = |key: RwPropertyKey| {
        let value = model.get_property(&PropertyKey::Rw(key));
        value.map(|value| value.into_owned()).unwrap_or_default()
    };
    let precision = match property(RwPropertyKey::HintInferencePrecision).as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        _ if precision == "bf16" => Precision::Bf16,
        _ => Precision::F32,
    };
    EngineDescription {
        engine: format!("{NAME} {version}"),
        device: Device::Cpu.to_string(),
        precision,
        threads: property(RwPropertyKey::InferenceNumThreads)
            .parse()
            .unwrap_or(0),
        choice: String::new(),
        prepares_input: false,
    }
}

/// Makes `values` those of the network's output at this position.
fn copy(request: &InferRequest, index: usize, count: usize, values: &mut Vec<f32>) -> Result<()> {
    let tensor = request
        .get_output_tensor_by_index(index)
        .map_err(inference)?;
    let bytes = tensor.get_raw_data().map_err(inference)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    if numbers.len() != count {
        let found = numbers.len();
        return Err(failure(format!(
            "its output {index} has {found} values instead of {count}"
        )));
    }
    values.clear();
    values.extend(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)));
    Ok(())
}

fn failure(reason: String) -> Error {
    Error::Engine {
        engine: NAME.to_owned(),
        reason,
    }
}

/// OpenVINO's error as ours: its message begins with lines that name its own source files.
fn inference(error: InferenceError) -> Error {
    let message = error.message.as_deref().unwrap_or_default();
    let lines = message.lines().map(str::trim);
    let said: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("Exception from"))
        .collect();
    failure(match said.is_empty() {
        true => error.kind.to_string(),
        false => said.join(" "),
    })
}
