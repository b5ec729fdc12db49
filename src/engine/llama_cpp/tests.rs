use super::*;

#[test]
fn the_version_of_the_bindings_is_the_one_pinned() {
    let pinned = format!("llama-cpp-sys-2 = {{ version = \"={BINDINGS}\"");
    assert!(include_str!("../../../Cargo.toml").contains(&pinned), "{pinned}");
}

#[test]
fn the_engine_says_who_it_is_and_where_it_runs() {
    let info = LlamaCpp::new().info();
    assert!(info.version.contains("ggml 0."), "{}", info.version);
    assert!(info.build.contains("CPU"), "{}", info.build);
    assert!(info.system.starts_with("CPU :"), "{}", info.system);
    // Only a build for the machine at hand can promise to be up to it.
    if env!("SLMBENCH_TARGET_CPU") == "native" {
        assert_eq!(info.below_machine, None);
    }
    let capabilities = LlamaCpp::new().capabilities();
    assert_eq!(capabilities.devices[..2], ["auto", "cpu"]);
}
