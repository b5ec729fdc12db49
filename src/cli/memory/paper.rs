//! `slmbench memory --paper`: the memory figure of "Small Language Models: Survey, Measurements,
//! and Insights" (arXiv 2409.15790), from nothing but shapes and the settings it was measured with.

use serde::Serialize;

use super::Arguments;
use super::rows::mib;
use crate::cli::exit::{Exit, Failure};
use crate::cli::list::table;
use crate::cli::{files, print, report};
use crate::memory::{MemoryDetail, Request, WeightBytes};
use crate::model::{FileMix, ModelShape, Rules};
use crate::report::Need;

/// A bar of the figure, in MiB.
#[derive(Debug, Serialize)]
struct Bar {
    /// The survey's name of the model.
    model: String,
    /// All tensors of the file.
    weights_mib: f64,
    /// The KV cache.
    kv_mib: f64,
    /// The graph's buffer on the GPU.
    compute_mib: f64,
    /// What lies on the host: mask, input embeddings, logits, and the embedding a second time
    /// where it is the output head as well.
    other_mib: f64,
}

impl Bar {
    fn of(detail: &MemoryDetail, model: &str) -> Bar {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Bar {
            model: model.to_owned(),
            weights_mib: mib(detail.weights.total_bytes()),
            kv_mib: mib(detail.kv_bytes()),
            compute_mib: mib(detail.buffers.compute_bytes),
            other_mib: mib(other_bytes(detail)),
        }
    }
}

fn other_bytes(detail: &MemoryDetail) -> u64 {
    detail.buffers.host_bytes() + detail.buffers.output_bytes + detail.weight_copy_bytes
}

fn detail(shape: &ModelShape) -> MemoryDetail {
    let weights = WeightBytes::of_mix(shape, FileMix::Q4_K_M.by(Rules::Mid2024));
    MemoryDetail::new(&weights, shape, &Request::survey())
}

/// Shows the figure.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
    let measured = catalogue
        .models()
        .iter()
        .filter_map(|model| Some((model.survey_name.as_deref()?, model.shape()?)));
    let mut models: Vec<(&str, &ModelShape)> = measured.collect();
    models.sort_by_key(|(_, shape)| shape.n_params());
    let details: Vec<(&str, MemoryDetail)> =
        models.iter().map(|(name, shape)| (*name, detail(shape))).collect();
    if let Some(path) = &arguments.plot {
        let of_models = models.iter().zip(&details).map(|((model, shape), (_, detail))| Need {
            model,
            quant: "Q4_K_M",
            shape,
            weights: &detail.weights,
            request: Request::survey(),
        });
        let needs: Vec<Need> = of_models.collect();
        super::draw(path, arguments.plot_kind, &needs, None)?;
    }
    if arguments.json {
        let bars: Vec<Bar> = details.iter().map(|(name, detail)| Bar::of(detail, name)).collect();
        print(&format!("{:#}\n", serde_json::json!(bars)))?;
        return Ok(Exit::Done);
    }
    let mut table = table(&["model", ">weights", ">KV", ">compute", ">other", ">total"]);
    for (name, detail) in &details {
        table.push(vec![
            (*name).to_owned(),
            mib(detail.weights.total_bytes()),
            mib(detail.kv_bytes()),
            mib(detail.buffers.compute_bytes),
            mib(other_bytes(detail)),
            mib(detail.total_bytes()),
        ]);
    }
    print(&table.to_text(report::terminal_width()))?;
    print(
        "In MiB, an estimate by formula: llama.cpp and Q4_K_M of mid-2024, n_ctx 2048, n_ubatch 512, \
         cache in F16,\nflash attention off, all layers on the GPU. Where weights reach 1 GiB, the \
         survey's figure has part\nof them under other; the sums agree.\n",
    )?;
    Ok(Exit::Done)
}
