//! `slmbench inspect FILE|MODEL`: what a GGUF file is made of, or would be.
//!
//! Of a file only the header is read, whatever the file's size; where an output head may be a copy
//! of the embedding, those two are compared; with `--values` all of it is read. By default a page that
//! fits a terminal: readers that print every key and every tensor bury the few lines people come for.

mod facts;
mod page;
mod values;

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::asked::no_file;
use super::exit::{Ending, Exit, Failure};
use super::measuring::watch_signals;
use super::{catalogue_files, files, print};
use crate::gguf::{Gguf, GgufError, GgufHead};
use crate::model::FileMix;
use facts::Facts;

const EXAMPLES: &str = "Examples:
  slmbench inspect model.gguf                        what it is, bytes by type and by part
  slmbench inspect model.gguf --tensors              every tensor: type, dimensions, place
  slmbench inspect model.gguf --metadata             every key
  slmbench inspect SmolLM2-135M --quant Q8_0         a file of that model, without making it
  slmbench inspect model.gguf --values               reads all weights: is any NaN or infinite?
  slmbench inspect model.gguf --json | jq .bits_per_weight

A file that is cut or damaged is shown as far as its header is whole; the error comes last.";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A GGUF file, or a model by its name in models.toml
    #[arg(value_name = "FILE|MODEL")]
    subject: String,
    /// File mix of a model by name [default: Q4_K_M]
    #[arg(long, short)]
    quant: Option<String>,
    /// All tensors: name, type, dimensions, bytes, place, part
    #[arg(long)]
    tensors: bool,
    /// All metadata; long texts and arrays are shortened
    #[arg(long)]
    metadata: bool,
    /// Look through all weights for numbers and scales of blocks that are NaN or infinite
    #[arg(long)]
    values: bool,
    /// Everything as JSON; of arrays the first elements
    #[arg(long, conflicts_with_all = ["tensors", "metadata"])]
    json: bool,
    #[command(flatten)]
    files: catalogue_files::ModelFiles,
}

/// Shows what is known, then what is wrong with it.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let path = Path::new(&arguments.subject);
    let (facts, flaw) =
        if is_file(path) { of_file(path, arguments)? } else { of_model(arguments)? };
    if arguments.json {
        let text = serde_json::to_string_pretty(&facts).or_usage()?;
        print(&format!("{text}\n"))?;
    } else {
        let width = super::report::terminal_width();
        print(&page::text(&facts, arguments.tensors, arguments.metadata, width))?;
    }
    flaw.map_or(Ok(Exit::Done), Err).or_usage()
}

/// Whether a file is meant: one is there, or what stands there could be no model's name.
pub fn is_file(path: &Path) -> bool {
    let named_so = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    let is_path = path.to_string_lossy().contains(std::path::is_separator);
    named_so || is_path || path.is_file()
}

fn of_file(path: &Path, arguments: &Arguments) -> Result<(Facts, Option<GgufError>), Failure> {
    if arguments.quant.is_some() {
        return Err("--quant is for models by name: the types of a file are what they are")
            .or_usage();
    }
    let head = GgufHead::open(path).or_usage()?;
    match head.check() {
        Ok(()) => {
            let gguf = Gguf::new(head).or_usage()?;
            let (facts, flaw) = match Facts::of_file(&gguf) {
                Ok(facts) => (facts, None),
                // A key that says something else than it should: the rest can be shown.
                Err(flaw) => (Facts::of_damaged(gguf.head()), Some(flaw)),
            };
            let (values, wrong) = match arguments.values {
                true => Some(values::look_through(&gguf)).unzip(),
                false => (None, None),
            };
            let flaw = flaw.or(wrong.flatten());
            let problem = flaw.as_ref().map(ToString::to_string);
            Ok((Facts { problem, values, ..facts }, flaw))
        }
        Err(flaw) => Ok((Facts::of_damaged(&head), Some(flaw))),
    }
}

fn of_model(arguments: &Arguments) -> Result<(Facts, Option<GgufError>), Failure> {
    let (catalogue, _) = files::catalogue(arguments.files.models.as_deref())?;
    let model = catalogue
        .find(&arguments.subject)
        .map_err(|e| no_file(&arguments.subject, &e))
        .or_usage()?;
    let Some(shape) = model.shape() else {
        // Only a download takes long enough to be stopped in an orderly way.
        let interrupted = match arguments.files.download {
            true => watch_signals()?,
            false => Arc::default(),
        };
        let found = arguments.files.find(&[model], arguments.json, &interrupted)?;
        return of_file(&found[0].1, arguments);
    };
    if arguments.values {
        return Err("--values is for files: the weights of a model by name are in none\n\
                    hint: `slmbench synth MODEL -o FILE` writes one")
        .or_usage();
    }
    let mix: FileMix = match &arguments.quant {
        Some(name) => name.parse().or_usage()?,
        None => FileMix::Q4_K_M,
    };
    Ok((Facts::of_shape(shape, mix), None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ggml::GgmlType;
    use crate::gguf::GgufWriter;
    use crate::model::{Arch, fixtures};
    use crate::synth::write_model;

    #[test]
    fn a_shape_is_shown_as_its_file_is_whatever_the_architecture() {
        for &arch in Arch::ALL {
            let shape = fixtures::small(arch);
            let file = write_model(&shape, FileMix::Q8_0, 1, Vec::new()).unwrap();
            let made = Facts::of_file(&Gguf::parse(file).unwrap()).unwrap();
            let told = Facts::of_shape(&shape, FileMix::Q8_0);
            assert_eq!(made.shape, told.shape, "{arch}");
            assert_eq!(
                (made.n_params, made.n_params_llama_cpp),
                (told.n_params, told.n_params_llama_cpp),
                "{arch}"
            );
            assert_eq!(
                (made.weight_bytes, made.file_bytes),
                (told.weight_bytes, told.file_bytes),
                "{arch}"
            );
        }
    }

    fn file() -> Vec<u8> {
        let mut w = GgufWriter::new();
        w.set_str("general.architecture", "llama")
            .set("llama.embedding_length", 32u32)
            .set("llama.attention.head_count", 4u32)
            .set("general.file_type", 2u32)
            .set_strs("tokens", &["a", "b"])
            .tensor("output.weight", &[32, 2], GgmlType::Q4_0)
            .tensor("token_embd.weight", &[32, 2], GgmlType::Q4_0)
            .tensor("blk.0.rope_freqs.weight", &[2, 0], GgmlType::F32);
        let mut stream = w.start(Vec::new()).unwrap();
        stream.write(&[7; 36]).unwrap();
        stream.write(&[7; 36]).unwrap();
        stream.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whatever_a_header_says_it_is_shown_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            word in prop::option::of((any::<prop::sample::Index>(), any::<u64>())),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = file();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some((at, word)) = word {
                let at = at.index(bytes.len() - 8);
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            for bytes in [bytes[..cut.index(bytes.len())].to_vec(), bytes] {
                let Ok(head) = GgufHead::parse(bytes) else { continue };
                let shown = Facts::of_damaged(&head);
                prop_assert!(!page::text(&shown, true, true, 80).is_empty());
                prop_assert!(serde_json::to_string(&shown).is_ok());
                if let Ok(gguf) = Gguf::new(head)
                    && let Ok(facts) = Facts::of_file(&gguf)
                {
                    prop_assert!(facts.problem.is_none());
                }
            }
        }
    }
}
