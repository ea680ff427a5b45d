//! `casm info --engines`: the engines of this machine, and the choice between them.

use casm::device::resolve;
use casm::engine::{choose, cpu_has_bf16, cpu_sums_bytes, has_nvidia_driver, survey};
use casm::{Device, EngineOptions, Precision};

/// The engine that is part of this command.
const LINKED: &str = "torch";

/// Engines, then what `auto` takes for each device and precision, and why.
pub fn describe() -> String {
    let mut text = String::new();
    for (name, found) in survey() {
        let found = found.unwrap_or_else(|error| format!("missing: {error}"));
        let found = match name {
            LINKED => format!("in this command; for the element: {found}"),
            _ => found,
        };
        text += &format!("{name:<10} {found}\n");
    }
    let bf16 = match cpu_has_bf16() {
        true => "has instructions for it (avx512_bf16 or amx_bf16)",
        false => {
            "has no instructions for it; openvino computes in f32, torch rounds as well, which takes longer"
        }
    };
    text += &format!("{:<10} the CPU {bf16}\n", "bf16");
    let int8 = match cpu_sums_bytes() {
        true => "has instructions for it (VNNI)",
        false => "has no instructions for it (VNNI), so weights have 7 bits",
    };
    text += &format!("{:<10} the CPU {int8}\n", "int8");
    let driver = match has_nvidia_driver() {
        true => "an NVIDIA driver is loaded",
        false => "no NVIDIA driver is loaded",
    };
    text += &format!("{:<10} {driver}\n", "GPU");

    // What opening an engine finds out.
    let no_gpu = has_nvidia_driver() && resolve(Device::Auto).is_ok_and(|device| !device.is_cuda());

    text += "\nengine=auto takes\n";
    for device in [Device::Auto, Device::Cpu, Device::Cuda(0)] {
        for precision in [
            Precision::Auto,
            Precision::F32,
            Precision::Bf16,
            Precision::F16,
            Precision::Int8,
        ] {
            let options = EngineOptions {
                device: match device {
                    Device::Auto if no_gpu => Device::Cpu,
                    device => device,
                },
                precision,
                ..EngineOptions::default()
            };
            let (name, mut reason) = choose(&options);
            if device == Device::Auto && no_gpu {
                reason = "there is an NVIDIA driver, but no GPU that can be used".to_owned();
            }
            let precision = match precision {
                Precision::Auto => "auto (f32)".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            let device = device.to_string();
            text += &format!("  {device:<6}  {precision:<10}  {name:<9} {reason}\n");
        }
    }
    text
}
