//! Schemas of suites, models and devices against the readers: what one accepts and refuses, and
//! what the pages say.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use slmbench::model::{Catalogue, models_schema};
use slmbench::suite::{SuiteErrorKind, devices_schema, parse, parse_devices, suite_schema};

/// A schema, and the reader of the same files.
struct Format {
    schema: Value,
    validator: jsonschema::Validator,
    read: fn(&str) -> Result<(), String>,
}

impl Format {
    fn new(schema: Value, read: fn(&str) -> Result<(), String>) -> Format {
        let validator = jsonschema::validator_for(&schema).unwrap();
        Format { schema, validator, read }
    }

    fn suites() -> Format {
        Format::new(suite_schema(), |text| {
            parse(text, "any.toml").map(drop).map_err(|errors| errors.to_string())
        })
    }

    fn models() -> Format {
        Format::new(models_schema(), |text| {
            Catalogue::parse(text, "any.toml").map(drop).map_err(|error| error.to_string())
        })
    }

    fn devices() -> Format {
        Format::new(devices_schema(), |text| {
            parse_devices(text, "any.toml").map(drop).map_err(|error| error.to_string())
        })
    }

    fn check(&self, text: &str) -> Result<(), String> {
        let value: Value = toml::from_str(text).unwrap();
        let errors: Vec<String> = self
            .validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }

    #[track_caller]
    fn both_accept(&self, text: &str) {
        (self.read)(text).unwrap_or_else(|said| panic!("{text}\nthe reader says: {said}"));
        self.check(text).unwrap_or_else(|said| panic!("{text}\nthe schema says: {said}"));
    }

    #[track_caller]
    fn both_refuse(&self, text: &str) {
        assert!((self.read)(text).is_err(), "the reader accepts\n{text}");
        assert!(self.check(text).is_err(), "the schema accepts\n{text}");
    }
}

fn file(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A suite of one block with `lines` in it; keys that must be there are added.
fn block(lines: &str) -> String {
    let mut text = "[[matrix]]\n".to_owned();
    for line in ["engine = 'reference'", "model = 'tiny-llama'", "quant = 'Q4_0'", "n_gen = 8"] {
        let key = line.split(' ').next().unwrap();
        if !lines.lines().any(|line| line.starts_with(&format!("{key} ="))) {
            text += &format!("{line}\n");
        }
    }
    text + lines
}

/// `models.toml`'s first model of the family `arch` alone, with a line changed or added.
fn model(arch: &str, line: &str) -> String {
    let key = line.split('=').next().unwrap().trim();
    let text = file("models.toml");
    let of_family = |block: &&str| block.contains(&format!("arch = \"{arch}\""));
    let block = text.split("[[model]]").find(of_family).unwrap();
    let kept = block.lines().filter(|old| old.split('=').next().unwrap().trim() != key);
    let kept: Vec<&str> = kept.filter(|old| !old.starts_with('#')).collect();
    format!("[[model]]\n{}\n{line}\n", kept.join("\n"))
}

#[test]
fn every_file_of_the_program_names_its_schema_and_answers_to_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites");
    let suites = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let suites = suites.map(|name| format!("suites/{}", name.to_string_lossy()));
    let suites: Vec<String> = suites.filter(|name| name.ends_with(".toml")).collect();
    assert!(suites.len() >= 2);
    let mut files: Vec<(String, Format)> =
        suites.into_iter().map(|name| (name, Format::suites())).collect();
    files.push(("models.toml".to_owned(), Format::models()));
    files.push(("devices.toml".to_owned(), Format::devices()));
    for (name, format) in files {
        let text = file(&name);
        let mut lines = text.lines();
        let named = lines.next().and_then(|line| line.strip_prefix("#:schema ")).unwrap_or("");
        let folder = Path::new(&name).parent().unwrap();
        let schema: Value = serde_json::from_str(&file(folder.join(named))).unwrap();
        assert!(schema == format.schema, "{name} names the schema {named}");
        assert_eq!(lines.next(), Some(""), "{name}: tombi wants an empty line behind the schema");
        format.both_accept(&text);
    }
}

#[test]
fn what_a_suite_may_say_its_schema_accepts() {
    let suites = Format::suites();
    for lines in [
        "n_prompt = 0x20",
        "n_depth = ['0..4096+1024', 4096, '8192', '128..4096*2', '1 .. 4 + 2', ' 7 ']",
        "n_threads = ['auto', '1..2', 4]\nn_ctx = 'auto'\nn_gpu_layers = ['auto', 0]",
        "type_kv = ['f16', 'Q8_0', 'iq4_nl']",
        "type_k = ['F16', 'q8_0']\ntype_v = 'BF16'",
        "quant = ['q4_k_m', 'Q4_K_M@2024', 'Q5_K', 'f32', 'IQ4_XS']",
        "engine = ['fake', 'fake:prefill_ms=40,decode_ms=10', 'delay:reference?decode=5%']",
        "engine = ['llama-cpp', 'delay:delay:llama-cpp?prefill=5%']",
        "model = ['SmolLM2-135M', 'Qwen*', 'a name of my own']",
        "cpus = ['all', 'big', '3', '0,2-3', '0-1,4-5']",
        "flash_attn = ['on', 'off', 'auto']\nload_mode = ['auto', 'mmap', 'none', 'mlock']",
        "backend_device = ['auto', 'cpu', 'Vulkan0']",
        "repetitions = 1\nwarmup = 0\ninvocations = 10000\ntimeout_s = 1",
        "exclude = []",
        "n_depth = [0, 64]\nexclude = [{ n_depth = '>=64', quant = 'q4_*' }]",
        "n_depth = [0, 1, 2, 64]\nexclude = [{ n_depth = ['1..2', 9] }, { n_depth = ['>9'] }]",
        "n_depth = [0, 64]\nexclude = [{ n_depth = '!=0', quant = '!=F16', n_threads = 'auto' }]",
        "n_depth = [0, 64]\nexclude = [{ n_depth = '64 | 128..512*2', n_ctx = '512|auto' }]",
        "n_gen = [8, 9]\nexclude = [{ n_gen = 9, engine = ['fake*', 'reference'], cpus = '= all' }]",
    ] {
        suites.both_accept(&block(lines));
    }
    for lines in
        ["limit_s = 86400\nwindow_s = 1\nuntil = 'limit'", "warmup = 0\ninvocations = 2", ""]
    {
        suites.both_accept(&block(lines).replace("[[matrix]]", "[[soak]]"));
    }
    suites.both_accept(&format!("[gate]\nbaseline_s = 0\nhold_s = 3600\n{}", block("")));
    suites.both_accept(&format!(
        "name = 'mine-2.0_b'\ndescription = ''\nseed = 9223372036854775807\nfeed = 'greedy'\n{}",
        block("")
    ));
    for when in ["off", "run", "cells"] {
        suites.both_accept(&format!("probe = '{when}'\n{}", block("")));
    }
    // Read by programs to come, and written by them.
    for lines in ["n_threads = 'all'", "n_threads = ['1..all', '1..all*2', 'auto', 3]"] {
        suites.check(&block(lines)).unwrap();
    }
}

#[test]
fn what_a_suite_must_not_say_its_schema_refuses() {
    let suites = Format::suites();
    for lines in [
        "n_thread = 4",
        "engine = 'referense'",
        "engine = ['reference', 7]",
        "engine = 'delay:'",
        "engine = 'delay'",
        "engine = 'fakes:x=1'",
        "engine = ''",
        "model = ' '",
        "model = []",
        "quant = 'Q4_K_X'",
        "quant = 'Q4_0@2023'",
        "quant = ['Q4_0', '']",
        "n_prompt = 'many'",
        "n_prompt = -1",
        "n_prompt = 16777217",
        "n_prompt = 1.5",
        "n_prompt = 'auto'",
        "n_gen = '1...4'",
        "n_gen = ['1..4+']",
        "n_depth = true",
        "n_depth = []",
        "n_threads = 0",
        "n_threads = 4097",
        "n_threads = 'many'",
        "n_ctx = 'Auto'",
        "n_batch = 0",
        "n_ubatch = 0",
        "type_k = 'Q6_K'",
        "type_kv = 'F16'\ntype_v = 'F16'",
        "flash_attn = true",
        "flash_attn = 'On'",
        "load_mode = 'lock'",
        "cpus = '3-'",
        "cpus = 'small'",
        "cpus = 3",
        "backend_device = ''",
        "repetitions = 0",
        "repetitions = [1, 2]",
        "timeout_s = '10 min'",
        "exclude = { quant = 'F16' }",
        "exclude = ['F16']",
        "exclude = [{}]",
        "exclude = [{ quants = 'F16' }]",
        "exclude = [{ n_gen = [] }]",
        "exclude = [{ n_gen = '>many' }]",
        "exclude = [{ n_gen = 'auto' }]",
        "exclude = [{ n_gen = '<1|2' }]",
        "exclude = [{ n_gen = -8 }]",
        "exclude = [{ quant = '<Q4_0' }]",
        "exclude = [{ quant = '' }]",
        "exclude = [{ quant = true }]",
    ] {
        suites.both_refuse(&block(lines));
    }
    for line in [
        "name = 'no/slashes'",
        "name = '.hidden'",
        "name = ''",
        "description = 3",
        "seed = -1",
        "feed = 'gready'",
        "probe = 'sometimes'",
        "probe = true",
        "warmups = 2",
        "n_gen = 8",
    ] {
        suites.both_refuse(&format!("{line}\n{}", block("")));
    }
    for text in ["", "matrix = []", "matrix = 3", "matrix = [3]", "[matrix]\nengine = 'fake'"] {
        suites.both_refuse(text);
    }
    for lines in
        ["repetitions = 3", "limit_s = 0", "limit_s = '20 min'", "window_s = 601", "until = 'noon'"]
    {
        suites.both_refuse(&block(lines).replace("[[matrix]]", "[[soak]]"));
    }
    for lines in
        ["gate = 3", "[gate]\nlimit = 3", "[gate]\nhold_s = -1", "[gate]\nbaseline_s = 3601"]
    {
        suites.both_refuse(&format!("{lines}\n{}", block("")));
    }
    for key in ["engine", "model", "quant"] {
        let text = block("");
        let lines = text.lines().filter(|line| !line.starts_with(key));
        suites.both_refuse(&lines.collect::<Vec<_>>().join("\n"));
    }
}

/// Every key with its schema, and whether it stands at the top of a suite instead of in a block.
fn keys_of_suites(schema: &Value) -> Vec<(bool, &String, &Value)> {
    let top = &schema["properties"];
    let in_block = &top["matrix"]["items"]["properties"];
    [(true, top), (false, in_block)]
        .into_iter()
        .flat_map(|(at_top, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(name, key)| (at_top, name, key))
        })
        .collect()
}

/// The ways in which a value may be written, lists left out.
fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema["anyOf"].as_array() {
        Some(all) => all.iter().filter(|one| one["type"] != "array").collect(),
        None => vec![schema],
    }
}

fn suite_with(at_top: bool, line: &str) -> String {
    if at_top { format!("{line}\n{}", block("")) } else { block(line) }
}

#[test]
fn bounds_and_words_in_the_schema_of_suites_are_those_of_the_reader() {
    let schema = suite_schema();
    // What is wrong with one value, not what it leads to.
    let refused = |text: &str| {
        let errors = parse(text, "any.toml").err().map_or(Vec::new(), |errors| errors.0);
        errors.iter().any(|error| {
            use SuiteErrorKind::*;
            matches!(error.kind, OutOfBounds { .. } | UnknownWord { .. } | WrongType { .. })
        })
    };
    let (mut n_bounds, mut n_words) = (0, 0);
    for (at_top, name, key) in keys_of_suites(&schema) {
        for one in alternatives(key) {
            let with = |value: String| suite_with(at_top, &format!("{name} = {value}"));
            if let (Some(least), Some(most)) = (one["minimum"].as_i64(), one["maximum"].as_i64()) {
                n_bounds += 1;
                for good in [least, most] {
                    assert!(!refused(&with(good.to_string())), "{name} = {good}");
                }
                for bad in [Some(least - 1), most.checked_add(1)].into_iter().flatten() {
                    assert!(refused(&with(bad.to_string())), "{name} = {bad}");
                }
            }
            for word in one["enum"].as_array().into_iter().flatten() {
                n_words += 1;
                assert!(!refused(&with(word.to_string())), "{name} = {word}");
            }
        }
    }
    assert!(n_bounds >= 17 && n_words >= 50, "{n_bounds} bounds, {n_words} words");
}

#[test]
fn to_write_every_default_of_the_schema_changes_nothing() {
    let schema = suite_schema();
    let lines = |wanted: bool| -> String {
        keys_of_suites(&schema)
            .into_iter()
            .filter(|(at_top, name, _)| *at_top == wanted && *name != "n_gen")
            .filter_map(|(_, name, key)| Some(format!("{name} = {}\n", key.get("default")?)))
            .collect()
    };
    let plain = parse(&block(""), "any.toml").unwrap();
    let whole = lines(true) + &block(&lines(false));
    assert!(whole.lines().count() > 20, "{whole}");
    assert_eq!(parse(&whole, "any.toml").unwrap(), plain, "{whole}");
    let generated = &schema["properties"]["matrix"]["items"]["properties"]["n_gen"]["default"];
    assert_eq!(*generated, 0);
}

#[test]
fn the_page_on_suites_has_every_key_in_its_tables_and_no_other() {
    let page = file("docs/suites.md");
    let section = |title: &str| {
        let (_, rest) = page.split_once(&format!("## {title}\n")).unwrap();
        rest.split("\n## ").next().unwrap().to_owned()
    };
    let told = |title: &str| -> BTreeSet<String> {
        let section = section(title);
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','))
            .map(|key| key.trim().trim_matches('`').to_owned())
            .collect()
    };
    let schema = suite_schema();
    let known = |wanted: bool| -> BTreeSet<String> {
        let keys = keys_of_suites(&schema).into_iter().filter(|(at_top, _, _)| *at_top == wanted);
        keys.map(|(_, name, _)| name.clone()).collect()
    };
    let told_top = told("At the top");
    let mut top = known(true);
    for apart in ["matrix", "soak", "gate"] {
        assert!(top.remove(apart), "{apart} has a section of its own");
    }
    let of_table = |name: &str| -> BTreeSet<String> {
        let keys = &schema["properties"][name];
        let keys = keys.get("items").unwrap_or(keys)["properties"].as_object().unwrap();
        keys.keys().cloned().collect()
    };
    assert_eq!(told("The gate"), of_table("gate"));
    let of_matrix = known(false);
    let of_soak: BTreeSet<String> = of_table("soak").difference(&of_matrix).cloned().collect();
    assert_eq!(told("Sustained runs"), of_soak);
    assert_eq!(told_top, top);
    let mut in_block = known(false);
    assert!(in_block.remove("exclude"), "exclusions have a section of their own");
    in_block.retain(|key| !told_top.contains(key));
    assert_eq!(told("Axes of a block"), in_block);
}

#[test]
fn what_a_catalogue_may_say_its_schema_accepts() {
    let models = Format::models();
    for text in [
        model("llama", "aliases = []"),
        model("llama", "published = \"1.3B\""),
        model("openelm", "sharded = false"),
        model("phi3", "qkv_bias = false"),
        "[[model]]\nname = 'mine'\npath = 'somewhere/mine.gguf'\naliases = ['m', 'my own']".into(),
        "[[model]]\nname = 'theirs'\nhf = 'owner/repo:folder/file.gguf'".into(),
        "[[model]]\nname = 'theirs'\nhf = 'owner/repo@main:file.gguf'".into(),
        "model = []".into(),
    ] {
        models.both_accept(&text);
    }
}

#[test]
fn what_a_catalogue_must_not_say_its_schema_refuses() {
    let models = Format::models();
    models.both_accept(&model("llama", "sharded = false"));
    for line in [
        "n_layers = 2",
        "name = ''",
        "name = 3",
        "arch = 'mamba'",
        "n_layer = 0",
        "n_embd = 'wide'",
        "n_embd = 262145",
        "n_ff = -1",
        "n_ff = []",
        "n_ff = [64, 'wide']",
        "n_head = 4097",
        "n_rot = 3",
        "n_ctx_train = 99999999999",
        "tied_output = 1",
        "rope_freq_base = 0",
        "rope_freq_base = 'high'",
        "norm_eps = 2.0",
        "norm_eps = 0",
        "rope_scaling = { kind = 'yarn' }",
        "rope_scaling = { kind = 'linear' }",
        "rope_scaling = { kind = 'linear', factor = 0.5 }",
        "rope_scaling = { kind = 'linear', factor = 2, attn_factor = 1 }",
        "rope_scaling = { kind = 'longrope', n_ctx_orig = 0, attn_factor = 1.2 }",
        "rope_scaling = 'linear'",
        "n_params = -1",
        "aliases = 'one'",
        "aliases = [1]",
        "path = 'mine.gguf'",
        "hf = 'owner/repo:file.gguf'",
    ] {
        models.both_refuse(&model("llama", line));
    }
    let whole = model("llama", "sharded = false");
    for key in ["name", "arch", "n_layer", "n_vocab", "tied_output", "norm_eps", "n_params"] {
        let lines = whole.lines().filter(|line| !line.starts_with(&format!("{key} =")));
        models.both_refuse(&lines.collect::<Vec<_>>().join("\n"));
    }
    for text in [
        "",
        "model = 3",
        "model = [3]",
        "[model]\nname = 'x'",
        "title = 'x'\n[[model]]\nname = 'x'\npath = 'x.gguf'",
        "[[model]]\npath = 'x.gguf'",
        "[[model]]\nname = 'x'\npath = ''",
        "[[model]]\nname = 'x'\npath = 'x.gguf'\nn_layer = 2",
        "[[model]]\nname = 'x'\npath = 'x.gguf'\nhf = 'owner/repo:x.gguf'",
        "[[model]]\nname = 'x'\nhf = 'repo:x.gguf'",
        "[[model]]\nname = 'x'\nhf = 'owner/repo'",
        "[[model]]\nname = 'x'\nhf = 'owner/repo:'",
        "[[model]]\nname = 'x'\nhf = 'owner/repo:../x.gguf'",
    ] {
        models.both_refuse(text);
    }
}

#[test]
fn bounds_in_the_schema_of_models_are_those_of_the_reader() {
    let models = Format::models();
    let shape = &models.schema["properties"]["model"]["items"]["oneOf"][0];
    let mut n_bounds = 0;
    for (name, field) in shape["properties"].as_object().unwrap() {
        let said = |value: i64| {
            // The one family that may have a latent, so that only the bound is wrong.
            let text = model("minicpm3", &format!("{name} = {value}"));
            (models.read)(&text).err().unwrap_or_default()
        };
        for one in alternatives(field) {
            let (Some(least), Some(most)) = (one["minimum"].as_i64(), one["maximum"].as_i64())
            else {
                continue;
            };
            // A part of a head: bound by `head_dim`, which the schema cannot know.
            if name == "n_rot" {
                continue;
            }
            n_bounds += 1;
            let bounds = format!("{name}: found ");
            let whole = format!("{name} is ");
            let out_of_bounds = |said: &str| {
                said.lines().any(|line| {
                    (line.contains(&bounds) && line.contains("allowed are"))
                        || line.contains(&whole)
                })
            };
            for good in [least, most] {
                let said = said(good);
                assert!(!out_of_bounds(&said), "{name} = {good}: {said}");
            }
            for bad in [least - 1, most + 1] {
                let said = said(bad);
                assert!(out_of_bounds(&said), "{name} = {bad}: {said}");
            }
        }
    }
    assert_eq!(n_bounds, 13);
}

#[test]
fn a_table_of_devices_is_accepted_and_refused_by_reader_and_schema_alike() {
    let devices = Format::devices();
    for good in [
        "device = []",
        "[[device]]\nname = 'x'\nrecognise = { cpu = 'A76*' }",
        "[[device]]\nname = 'x'\nrecognise = { machine = '*x*', cpu_arch = 'aarch64' }\n\
         soft_limit = 80\nhard_limit = 85.5\ntemperature = []",
        "[[device]]\nname = 'x'\nrecognise = { soc = 'nvidia,*', gpu = 'NVIDIA H*' }\n\
         channels = ['nvml/*', 'thermal/cpu-thermal']",
        "[[device]]\nname = 'x'\nrecognise = { gpu = '*' }\nchannels = []",
        "[[device]]\nname = 'x'\nmemory = [{ total = '8 GB', free = '7.2gib' }]",
        "[[device]]\nname = 'x'\nrecognise = { cpu = 'a' }\n\
         memory = [{ total = '4GiB', free = '3GiB' }, { total = '8GiB', free = '.004TB' }]",
    ] {
        devices.both_accept(good);
    }
    for bad in [
        "",
        "devices = []",
        "[device]\nname = 'x'",
        "[[device]]\nrecognise = { cpu = 'a' }",
        "[[device]]\nname = 'x'",
        "[[device]]\nname = 3\nrecognise = { cpu = 'a' }",
        "[[device]]\nname = 'x'\nrecognise = { cpus = 'a' }",
        "[[device]]\nname = 'x'\nrecognise = { cpu = ['a', 'b'] }",
        "[[device]]\nname = 'x'\nrecognise = { cpu_arch = 'aarch64' }",
        "[[device]]\nname = 'x'\nrecognise = {}",
        "[[device]]\nname = 'x'\nrecognise = { cpu = 'a' }\nsoft_limit = 'hot'",
        "[[device]]\nname = 'x'\nrecognise = { cpu = 'a' }\ntemperature = 'cpu'",
        "[[device]]\nname = 'x'\nrecognise = { soc = ['a', 'b'] }",
        "[[device]]\nname = 'x'\nrecognise = { gpu = 'a' }\nchannels = 'nvml/*'",
        "[[device]]\nname = 'x'\nrecognise = { cpu = 'a' }\nlimit = 80",
        "[[device]]\nname = 'x'\nmemory = []",
        "[[device]]\nname = 'x'\nmemory = '8GiB'",
        "[[device]]\nname = 'x'\nmemory = [{ total = '8GiB' }]",
        "[[device]]\nname = 'x'\nmemory = [{ total = '8', free = '4GiB' }]",
        "[[device]]\nname = 'x'\nmemory = [{ total = '8GiB', free = 'half' }]",
        "[[device]]\nname = 'x'\nrecognise = {}\nmemory = [{ total = '8GiB', free = '4GiB' }]",
    ] {
        devices.both_refuse(bad);
    }
}

#[test]
fn every_key_of_every_schema_is_described() {
    fn look(schema: &Value, path: &str, n: &mut usize) {
        for (name, key) in schema["properties"].as_object().into_iter().flatten() {
            let about = key["description"].as_str().unwrap_or("");
            assert!(about.len() > 10, "{path}.{name}: {about:?}");
            assert_eq!(key.get("$ref"), None, "{path}.{name}");
            *n += 1;
            look(key, &format!("{path}.{name}"), n);
        }
        for part in ["items", "oneOf", "anyOf"] {
            match &schema[part] {
                Value::Array(all) => all.iter().for_each(|one| look(one, path, n)),
                Value::Object(_) => look(&schema[part], path, n),
                _ => {}
            }
        }
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false, "{path}");
        }
    }
    let mut n = 0;
    for (schema, name) in
        [(suite_schema(), "suite"), (models_schema(), "models"), (devices_schema(), "devices")]
    {
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert!(schema["title"].is_string() && schema["description"].is_string());
        look(&schema, name, &mut n);
    }
    assert!(n > 90, "{n} keys");
}

/// A key of a block and a text that its reader may accept.
fn text_of_a_key() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        "[0-9]{0,3} ?(\\.\\.)? ?[0-9]{0,3} ?[+*]? ?[0-9]{0,2}".prop_map(|text| ("n_depth", text)),
        "[0-9]{1,2}(\\.\\.[0-9]{1,4})?|aut?o|all?".prop_map(|text| ("n_threads", text)),
        "(all|big|[0-9]{1,2})?[-,]?[0-9]{0,6}(,[0-9]-[0-9])?".prop_map(|text| ("cpus", text)),
        "i?I?[qfQF][1-8]_?[0kK16nN]?_?[sSmMlLxX]?(@2024)?".prop_map(|text| ("quant", text)),
        "[qQfFb]{1,2}(16|32|[458]_[01])".prop_map(|text| ("type_kv", text)),
        "(delay:){0,2}(fake|reference|delay)?[:?]?\\PC{0,4}".prop_map(|text| ("engine", text)),
        "\\PC{0,4}".prop_map(|text| ("model", text)),
    ]
}

/// A condition of an exclusion that its reader may accept.
fn condition() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        "[<>=!]{0,2} ?[0-9]{1,2}(\\.\\.[0-9]{2})?( ?\\| ?[0-9]{1,2})?"
            .prop_map(|text| ("n_gen", text)),
        "[<>=!]{0,2} ?(auto|[0-9]{1,3})(\\|auto)?".prop_map(|text| ("n_ctx", text)),
        "[<>=!]{0,2} ?\\PC{0,4}".prop_map(|text| ("quant", text)),
    ]
}

proptest! {
    #[test]
    fn no_text_that_the_reader_of_suites_accepts_is_refused_by_the_schema(
        (key, text) in text_of_a_key(),
        (column, condition) in condition(),
    ) {
        let suites = Format::suites();
        let line = format!("{key} = {}", Value::from(text));
        let suite = block(&line);
        if (suites.read)(&suite).is_ok() {
            prop_assert_eq!(suites.check(&suite), Ok(()), "{}", line);
        }
        // That it excludes nothing, or everything, is not seen in the text.
        let line = format!("exclude = [{{ {column} = {} }}]", Value::from(condition));
        let suite = block(&line);
        let errors = parse(&suite, "any.toml").err().map_or(Vec::new(), |errors| errors.0);
        if !errors.iter().any(|error| matches!(error.kind, SuiteErrorKind::Condition(_))) {
            prop_assert_eq!(suites.check(&suite), Ok(()), "{}", line);
        }
    }
}
