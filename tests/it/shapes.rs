//! Shapes for tests with llama.cpp: models of the catalogue, cut down.

use slmbench::model::{Arch, Catalogue, ModelShape, PerLayer};

/// The first model of `arch` in the catalogue, as wide as it is, with few layers and tokens.
pub fn reduced(arch: Arch) -> ModelShape {
    let catalogue = Catalogue::built_in().unwrap();
    let whole = catalogue.shapes().find(|m| m.arch == arch).unwrap();
    let n_layer = 4;
    let cut = |n: &PerLayer| match n {
        PerLayer::Same(n) => PerLayer::Same(*n),
        PerLayer::Each(all) => PerLayer::from_list(all[..n_layer].to_vec()),
    };
    ModelShape {
        name: format!("reduced-{arch}"),
        n_layer: n_layer as u32,
        n_ff: cut(&whole.n_ff),
        n_head: cut(&whole.n_head),
        n_head_kv: cut(&whole.n_head_kv),
        n_vocab: 512,
        ..whole.clone()
    }
}

/// A narrow model of two layers; every field can be set over it.
pub fn tiny(arch: Arch) -> ModelShape {
    let catalogue = Catalogue::built_in().unwrap();
    let llama = catalogue.get("tiny-llama").unwrap().clone();
    ModelShape { name: format!("tiny-{arch}"), arch, ..llama }
}
