//! Whether llama.cpp was built for less than the machine has.
//!
//! ggml's CPU code is chosen when it is compiled. A build for any x86-64 or any ARM64 leaves out
//! the instructions that matter most for quantised weights, and a figure taken with it says more
//! about the build than about the engine.

/// Instruction sets of this machine that ggml has code for, spelled as in
/// [`super::ffi::compiled_features`].
pub fn features() -> Vec<&'static str> {
    detected().iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect()
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<(&'static str, bool)> {
    use std::is_x86_feature_detected as has;
    vec![
        ("AVX", has!("avx")),
        ("AVX2", has!("avx2")),
        ("AVX-VNNI", has!("avxvnni")),
        ("FMA", has!("fma")),
        ("F16C", has!("f16c")),
        ("BMI2", has!("bmi2")),
        ("AVX512", has!("avx512f")),
        ("AVX512 VBMI", has!("avx512vbmi")),
        ("AVX512 VNNI", has!("avx512vnni")),
        ("AVX512 BF16", has!("avx512bf16")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![
        ("NEON", has!("neon")),
        ("FP16", has!("fp16")),
        ("DOTPROD", has!("dotprod")),
        ("I8MM", has!("i8mm")),
        ("SVE", has!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// Why a build with `compiled` is below a machine with `machine`, if it is.
pub fn below(compiled: &[&str], machine: &[&str]) -> Option<String> {
    let missing: Vec<&str> = machine.iter().copied().filter(|f| !compiled.contains(f)).collect();
    (!missing.is_empty())
        .then(|| format!("built without {}, which this machine has", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_below_the_machine_when_it_lacks_what_the_machine_has() {
        assert_eq!(below(&["AVX2", "FMA"], &["AVX2", "FMA"]), None);
        assert_eq!(
            below(&["AVX2"], &["AVX2", "AVX512", "AVX512 VNNI"]).unwrap(),
            "built without AVX512, AVX512 VNNI, which this machine has"
        );
    }

    #[test]
    fn a_build_for_more_than_the_machine_is_not_below_it() {
        assert_eq!(below(&["AVX2", "AVX512"], &["AVX2"]), None);
    }
}
