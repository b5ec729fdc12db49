//! `slmbench list models`: the catalogue as a table, or one of its models on a page.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use wildmatch::WildMatchPattern;

use super::{print_json, table};
use crate::cli::engines::{EngineEntry, here};
use crate::cli::exit::{Ending, Exit, Failure};
use crate::cli::{files, print, report};
use crate::engine;
use crate::ggml::GgmlType;
use crate::model::{CatalogueModel, FileMix, ModelIdentity, ModelShape, Origin};
use crate::report::grouped;
use crate::suite::{is_pattern, nearest};
use crate::synth::SYNTH_VERSION;
use crate::units::Bytes;

const EXAMPLES: &str = "Examples:
  slmbench list models 'Qwen*'                        by name
  slmbench list models --params ..1B                  up to a size; also 1B..2B, 500M..
  slmbench list models --family Gemma --engine reference
  slmbench list models Qwen3-0.6B                     all that is known of one";

/// Arguments of `list models`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Models by name, or by patterns such as 'Qwen*'; a single name shows all about that model
    #[arg(value_name = "MODEL")]
    names: Vec<String>,
    /// Only models of this family; may be a pattern
    #[arg(long)]
    family: Option<String>,
    /// Only models of this architecture, by its GGUF name; may be a pattern
    #[arg(long)]
    arch: Option<String>,
    /// Only models that this engine runs
    #[arg(long)]
    engine: Option<String>,
    /// Only models with so many unique parameters: 500M..2B, ..1B, 3B..
    #[arg(long, value_name = "RANGE")]
    params: Option<String>,
    /// models.toml to read
    #[arg(long, value_name = "FILE")]
    models: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Shows the models that are asked for.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let (catalogue, _) = files::catalogue(arguments.models.as_deref())?;
    let engines = Engines::of_this_build(arguments.engine.as_deref())?;
    let filter = Filter::new(arguments)?;
    for name in arguments.names.iter().filter(|name| !is_pattern(name)) {
        catalogue.find(name).or_usage()?;
    }
    let models: Vec<&CatalogueModel> =
        catalogue.models().iter().filter(|model| filter.keeps(model, &engines)).collect();
    if models.is_empty() {
        return Err("no model fits\nhint: `slmbench list models` shows all").or_usage();
    }
    let single = matches!(&arguments.names[..], [name] if !is_pattern(name));
    if arguments.json {
        let rows: Vec<_> = models.iter().map(|model| as_json(model, &engines)).collect();
        print_json(&if single { rows[0].clone() } else { json!(rows) })?;
    } else if let (true, Some(shape)) = (single, models[0].shape()) {
        page(models[0], shape, &engines)?;
    } else {
        rows(&models, &engines)?;
    }
    Ok(Exit::Done)
}

/// The engines of this build, and the one that is asked for.
struct Engines {
    entries: Vec<EngineEntry>,
    asked_for: Option<String>,
}

impl Engines {
    fn of_this_build(asked_for: Option<&str>) -> Result<Engines, Failure> {
        let names: Vec<String> = engine::names().iter().map(|n| (*n).to_owned()).collect();
        let entries = here(&names);
        if let Some(word) = asked_for {
            let entry = entries.iter().find(|entry| entry.word == word);
            match entry.map(|entry| entry.missing.clone()) {
                None => {
                    let hint = match nearest(word, names.iter().map(String::as_str)) {
                        Some(near) => format!("\nhint: did you mean `{near}`?"),
                        None => String::new(),
                    };
                    let known = names.join(", ");
                    return Err(format!("unknown engine `{word}`, there are {known}{hint}"))
                        .or_usage();
                }
                Some(Some(why)) => return Err(format!("engine {word}: {why}")).or_usage(),
                Some(None) => {}
            }
        }
        Ok(Engines { entries, asked_for: asked_for.map(str::to_owned) })
    }

    /// Those that compute models of an architecture. The scripted one runs anything and says
    /// nothing.
    fn that_run(&self, arch: &str) -> Vec<&str> {
        self.entries
            .iter()
            .filter(|entry| {
                entry.capabilities.as_ref().is_some_and(|c| c.needs_model_file && c.runs(arch))
            })
            .map(|entry| entry.word.as_str())
            .collect()
    }
}

/// What a model must be to be shown.
struct Filter {
    names: Vec<WildMatchPattern<'*', '?'>>,
    family: Option<WildMatchPattern<'*', '?'>>,
    arch: Option<WildMatchPattern<'*', '?'>>,
    params: Option<(f64, f64)>,
}

impl Filter {
    fn new(arguments: &Arguments) -> Result<Filter, Failure> {
        let pattern = |text: &String| WildMatchPattern::new_case_insensitive(text);
        Ok(Filter {
            names: arguments.names.iter().map(pattern).collect(),
            family: arguments.family.as_ref().map(pattern),
            arch: arguments.arch.as_ref().map(pattern),
            params: arguments.params.as_deref().map(sizes).transpose().or_usage()?,
        })
    }

    /// A model that is a file has neither architecture nor size before it is opened.
    fn keeps(&self, model: &CatalogueModel, engines: &Engines) -> bool {
        let shape = model.shape();
        let arch = shape.map(|shape| shape.arch.name());
        let of_shape = |holds: &dyn Fn(&ModelShape) -> bool| shape.is_some_and(holds);
        (self.names.is_empty() || self.names.iter().any(|p| model.names().any(|n| p.matches(n))))
            && self
                .family
                .as_ref()
                .is_none_or(|p| model.family.as_deref().is_some_and(|f| p.matches(f)))
            && self.arch.as_ref().is_none_or(|p| arch.is_some_and(|a| p.matches(a)))
            && engines
                .asked_for
                .as_deref()
                .is_none_or(|word| arch.is_some_and(|arch| engines.that_run(arch).contains(&word)))
            && self.params.is_none_or(|(least, most)| {
                of_shape(&|shape| (least..=most).contains(&(shape.n_params() as f64)))
            })
    }
}

/// `500M..2B`, `..1B`, `3B..`: numbers of parameters, both ends included.
fn sizes(text: &str) -> Result<(f64, f64), String> {
    let wrong =
        || format!("--params {text}: expected a range of sizes such as 500M..2B, ..1B or 3B..");
    let size = |text: &str, open: f64| -> Result<f64, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(open);
        }
        let unit = match text.as_bytes()[text.len() - 1].to_ascii_uppercase() {
            b'K' => 1e3,
            b'M' => 1e6,
            b'B' | b'G' => 1e9,
            _ => 1.0,
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let letters = text.len() - digits.len();
        let n = digits.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        match (n, letters) {
            (Some(n), 0) if unit == 1.0 => Ok(n),
            (Some(n), 1) if unit > 1.0 => Ok(n * unit),
            _ => Err(wrong()),
        }
    };
    let Some((least, most)) = text.split_once("..") else {
        // One size is no range; a bare number may be meant in millions or billions.
        let bare = text.trim().parse::<f64>().is_ok();
        let meant = match bare {
            true => format!("`{text}M..` or `{text}B..`"),
            false => format!("`{text}..` or `..{text}`"),
        };
        return Err(format!("{}\nhint: is {meant} meant?", wrong()));
    };
    let (least, most) = (size(least, 0.0)?, size(most, f64::INFINITY)?);
    match least <= most {
        true => Ok((least, most)),
        false => Err(format!("--params {text}: its end lies below its start")),
    }
}

/// A size as model names have it: `134.5M`, `1.24B`.
fn short(n_params: u64) -> String {
    let n = n_params as f64;
    if n < 1e9 { format!("{:.1}M", n / 1e6) } else { format!("{:.2}B", n / 1e9) }
}

fn rows(models: &[&CatalogueModel], engines: &Engines) -> Result<(), Failure> {
    let mut by_shape = table(&[
        "model", "family", "arch", ">params", ">layers", ">width", ">heads", ">vocab", ">context",
        "engines",
    ]);
    let mut files = table(&["model", "family", "file"]);
    let (mut n_shapes, mut n_files) = (0, 0);
    for model in models {
        let family = model.family.clone().unwrap_or_default();
        let Some(shape) = model.shape() else {
            n_files += 1;
            files.push(vec![model.name.clone(), family, origin(model)]);
            continue;
        };
        n_shapes += 1;
        by_shape.push(vec![
            model.name.clone(),
            family,
            shape.arch.name().to_owned(),
            short(shape.n_params()),
            shape.n_layer.to_string(),
            shape.n_embd.to_string(),
            heads(shape),
            shape.n_vocab.to_string(),
            shape.n_ctx_train.to_string(),
            match engines.that_run(shape.arch.name()) {
                none if none.is_empty() => "–".to_owned(),
                some => some.join(", "),
            },
        ]);
    }
    let width = report::terminal_width();
    if n_shapes > 0 {
        print(&by_shape.to_text(width))?;
    }
    if n_files > 0 {
        let gap = if n_shapes > 0 { "\n" } else { "" };
        print(&format!("{gap}{}", files.to_text(width)))?;
    }
    Ok(())
}

/// Query heads and, where they are fewer, key heads: `32/8`.
fn heads(shape: &ModelShape) -> String {
    match shape.n_head == shape.n_head_kv {
        true => shape.n_head.to_string(),
        false => format!("{}/{}", shape.n_head, shape.n_head_kv),
    }
}

fn origin(model: &CatalogueModel) -> String {
    match &model.origin {
        Origin::Shape(_) => "by shape".to_owned(),
        Origin::Path(path) => path.display().to_string(),
        Origin::HuggingFace { repo, revision, file } => {
            let at = revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
            format!("{repo}{at}: {file} on Hugging Face")
        }
    }
}

/// Bytes that one more token takes in a cache of half precision.
fn kv_bytes_per_token(shape: &ModelShape) -> u64 {
    let elements =
        (0..shape.n_layer).map(|layer| shape.n_embd_k(layer) + shape.n_embd_v(layer)).sum();
    GgmlType::F16.bytes_for(elements).unwrap_or(0)
}

fn page(model: &CatalogueModel, shape: &ModelShape, engines: &Engines) -> Result<(), Failure> {
    let mut lines: Vec<(&str, String)> = vec![("model", model.name.clone())];
    let mut line = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    let aliases: Vec<&str> = model.names().skip(1).filter(|n| *n != model.name).collect();
    line("also called", (!aliases.is_empty()).then(|| aliases.join(", ")));
    line("family", model.family.clone());
    line("source", model.source.clone());
    line("arch", Some(shape.arch.name().to_owned()));
    let whole = |n: u64| grouped(n as f64, 0);
    let identity = |mix| ModelIdentity::of_synthetic(shape, mix, 1, SYNTH_VERSION);
    let counted = identity(FileMix::F16).n_params_llama_cpp;
    line(
        "parameters",
        Some(format!(
            "unique: {}; as llama.cpp counts: {}",
            whole(shape.n_params()),
            whole(counted)
        )),
    );
    line("published", model.published.clone());
    line(
        "shape",
        Some(format!(
            "n_layer {} · n_embd {} · n_ff {} · n_vocab {} · n_ctx_train {}",
            shape.n_layer, shape.n_embd, shape.n_ff, shape.n_vocab, shape.n_ctx_train
        )),
    );
    line(
        "heads",
        Some(format!(
            "n_head {} · n_head_kv {} · head_dim {}",
            shape.n_head, shape.n_head_kv, shape.head_dim
        )),
    );
    let output = if shape.tied_output { "the token embedding" } else { "a tensor of its own" };
    line("output", Some(output.to_owned()));
    let kv = Bytes(kv_bytes_per_token(shape));
    line("KV cache", Some(format!("{kv} per token in F16")));
    let none = "none of this build".to_owned();
    let run = engines.that_run(shape.arch.name()).join(", ");
    line("engines", Some(if run.is_empty() { none } else { run }));
    for (name, value) in lines {
        print(&format!("{name:<12}{value}\n"))?;
    }
    let mut sizes = table(&["quant", ">size", ">bits/weight", "types"]);
    for &mix in FileMix::ALL {
        let identity = identity(mix);
        sizes.push(vec![
            mix.to_string(),
            Bytes(identity.weight_bytes).to_string(),
            format!("{:.2}", identity.bits_per_weight),
            identity.types_in_words(),
        ]);
    }
    print(&format!("\n{}", sizes.to_text(report::terminal_width())))
}

fn as_json(model: &CatalogueModel, engines: &Engines) -> serde_json::Value {
    let mut row = match model.shape() {
        Some(shape) => {
            let mut row = json!(shape);
            row["n_params"] = json!(shape.n_params());
            row["kv_bytes_per_token_f16"] = json!(kv_bytes_per_token(shape));
            row["engines"] = json!(engines.that_run(shape.arch.name()));
            row
        }
        None => json!({ "name": model.name, "file": origin(model) }),
    };
    for (key, value) in [
        ("family", &model.family),
        ("survey_name", &model.survey_name),
        ("source", &model.source),
        ("published", &model.published),
    ] {
        if let Some(value) = value {
            row[key] = json!(value);
        }
    }
    if !model.aliases.is_empty() {
        row["aliases"] = json!(model.aliases);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_names_of_models_write_them() {
        assert_eq!(sizes("500M..2B").unwrap(), (5e8, 2e9));
        assert_eq!(sizes("..1.5b").unwrap(), (0.0, 1.5e9));
        assert_eq!(sizes("3B..").unwrap(), (3e9, f64::INFINITY));
        assert_eq!(sizes("1000..2k").unwrap(), (1000.0, 2000.0));
        assert!(sizes("2B..1B").unwrap_err().ends_with("its end lies below its start"));
        assert!(sizes("5").unwrap_err().ends_with("hint: is `5M..` or `5B..` meant?"));
        for bad in ["1B", "big..", "1BB..", "-1B..", "1T..", "..1e999"] {
            assert!(sizes(bad).unwrap_err().contains("500M..2B"), "{bad}");
        }
        assert_eq!((short(134_515_008), short(1_235_814_400)), ("134.5M".into(), "1.24B".into()));
    }
}
