//! Catalogues sound and broken.

use super::*;
use crate::model::Arch;

#[test]
fn the_built_in_catalogue_is_sound() {
    let catalogue = Catalogue::built_in().unwrap_or_else(|e| panic!("{e}"));
    let small = |m: &&ModelShape| m.name.starts_with("tiny-");
    assert_eq!(catalogue.shapes().filter(|m| !small(m)).count(), 84);
    assert_eq!(catalogue.shapes().count(), catalogue.models().len());
    for &arch in Arch::ALL {
        assert!(catalogue.shapes().any(|m| m.arch == arch), "no model of {arch}");
    }
    let llama = catalogue.get("llama-3.2-1b").unwrap();
    assert!(llama.tied_output && llama.rope_scaling.is_some());
    assert_eq!((llama.head_dim, llama.n_rot), (64, 64));
}

#[test]
fn a_name_nearly_right_is_answered_with_the_right_one() {
    let catalogue = Catalogue::built_in().unwrap();
    let error = catalogue.find("SmolLM-2-135M").unwrap_err();
    assert_eq!(error.near[0], "SmolLM2-135M");
    assert!(error.to_string().starts_with(
        "unknown model `SmolLM-2-135M`\nhint: did you mean `SmolLM2-135M` or `SmolLM-135M`"
    ));
    let error = catalogue.get("mamba").unwrap_err().to_string();
    assert_eq!(error, "unknown model `mamba`\nhint: `slmbench list models` shows all");
    assert_eq!(catalogue.get("bloom-1b1").unwrap().name, "BLOOM-1.1B");
    assert_eq!(catalogue.find("tiny").unwrap_err().near[..2], ["tiny-llama", "tiny-qwen2"]);
}

#[test]
fn everything_wrong_is_said_at_once_with_its_line() {
    let text = r#"[[model]]
name = "a"
arch = "mamba"
n_layers = 2
n_embd = "wide"
n_ff = -1
n_head = 4
n_vocab = 512
n_ctx_train = 99999999999
tied_output = 1
rope_freq_base = 1e4
rope_scaling = { kind = "yarn" }
norm_eps = 1e-5
n_params = 1

[[model]]
name = "b"
arch = "llama"
n_layer = 2
n_embd = 64
n_ff = 96
n_head = 6
n_head_kv = 4
n_vocab = 512
n_ctx_train = 64
tied_output = true
rope_freq_base = 1e4
norm_eps = 2.0
n_params = 1
"#;
    let said = Catalogue::parse(text, "m.toml").unwrap_err().to_string();
    let (said, hint) = said.rsplit_once('\n').unwrap();
    assert!(hint.starts_with("hint: the head of"), "{hint}");
    let said: Vec<&str> = said.lines().collect();
    let archs = Arch::NAMES.join(", ");
    assert_eq!(
        said,
        [
            "m.toml:1: `n_layer` is missing",
            &format!("m.toml:3: arch `mamba`, allowed are {archs}"),
            "m.toml:4: unknown key `n_layers`, did you mean `n_layer`?",
            "m.toml:5: n_embd is of type string, expected a whole number of 0 or more",
            "m.toml:6: n_ff is -1, expected a whole number of 0 or more",
            "m.toml:9: n_ctx_train is 99999999999, allowed are 0 to 4294967295",
            "m.toml:10: tied_output is 1, expected true or false",
            "m.toml:12: kind `yarn`, allowed are llama3, linear, longrope",
            "m.toml:23: n_head_kv: 6 query heads cannot share 4 evenly",
            "m.toml:28: norm_eps: found 2, must lie between 0 and 1",
        ]
    );
}

#[test]
fn a_rounded_size_is_that_of_the_shape() {
    for model in Catalogue::built_in().unwrap().models() {
        let (Some(published), Some(shape)) = (&model.published, model.shape()) else { continue };
        let (digits, unit) = published.split_at(published.len() - 1);
        let unit = match unit {
            "M" => 1e6,
            "B" => 1e9,
            other => panic!("{}: {other}", model.name),
        };
        let mut n = shape.n_params() as f64;
        // Named without its embedding, which is also its head.
        if model.name == "MiniCPM-1B" {
            n -= f64::from(shape.n_vocab) * f64::from(shape.n_embd);
        }
        // Names are generous: a twentieth of a billion where they have a decimal, else a quarter.
        let off = (n / unit - digits.parse::<f64>().unwrap()).abs();
        let allowed = if digits.contains('.') { 0.05 } else { 0.25 };
        let allowed = if unit < 1e9 { 0.03 * n / unit } else { allowed };
        assert!(off <= allowed, "{}: {published} of {n}", model.name);
    }
}

#[test]
fn what_is_wrong_with_every_model_is_said_once() {
    let text = BUILT_IN.replace("n_layer = ", "n_layers = ");
    let said = Catalogue::parse(&text, "m.toml").unwrap_err().to_string();
    let (said, _) = said.rsplit_once("\nhint: ").unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.ends_with("(and in 85 more places)")), "{said}");
}

#[test]
fn a_parameter_count_that_does_not_follow_from_the_shape_is_refused() {
    let text = BUILT_IN.replacen("n_params = 134515008", "n_params = 135000000", 1);
    let error = Catalogue::parse(&text, "m.toml").unwrap_err().to_string();
    assert!(
        error.contains("n_params is 135000000, but the shape of `SmolLM-135M` has 134515008"),
        "{error}"
    );
}

#[test]
fn a_model_may_be_a_file_here_or_on_the_hub() {
    let text = r#"
[[model]]
name = "mine"
path = "weights/mine.gguf"
[[model]]
name = "theirs"
aliases = ["small"]
hf = "owner/repo:sub/m.gguf"
[[model]]
name = "older"
hf = "owner/repo@v1.0:m.gguf"
"#;
    let catalogue = Catalogue::parse(text, "m.toml").unwrap_or_else(|e| panic!("{e}"));
    let hub = |revision: Option<&str>, file: &str| Origin::HuggingFace {
        repo: "owner/repo".into(),
        revision: revision.map(str::to_owned),
        file: file.into(),
    };
    let origins: Vec<&Origin> = catalogue.models().iter().map(|m| &m.origin).collect();
    let mine = Origin::Path("weights/mine.gguf".into());
    assert_eq!(origins, [&mine, &hub(None, "sub/m.gguf"), &hub(Some("v1.0"), "m.gguf")]);
    let error = catalogue.get("small").unwrap_err().to_string();
    assert!(error.starts_with("model `theirs` is a file, not a shape"), "{error}");
}

#[test]
fn a_file_on_the_hub_has_an_owner_a_repository_and_a_path_that_stays_in_it() {
    let words = [
        "repo:m.gguf",
        "owner/repo",
        "owner/repo:",
        "a/b/c:m.gguf",
        "owner/..:m.gguf",
        "owner/repo:../m.gguf",
        "owner/repo:/m.gguf",
        "owner/repo@:m.gguf",
        "owner/repo@../x:m.gguf",
    ];
    for word in words {
        let text = format!("[[model]]\nname = \"a\"\nhf = \"{word}\"\n");
        let error = Catalogue::parse(&text, "m.toml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("m.toml:3: hf is `{word}`, expected ")), "{error}");
    }
    let text = "[[model]]\nname = \"a\"\npath = \"m.gguf\"\nn_layer = 2\n";
    let error = Catalogue::parse(text, "m.toml").unwrap_err().to_string();
    assert!(error.starts_with("m.toml:4: unknown key `n_layer`"), "{error}");
}

#[test]
fn broken_toml_and_doubled_names_are_refused() {
    let error = Catalogue::parse("[[model]]\nname = \n", "m.toml").unwrap_err().to_string();
    assert!(error.starts_with("m.toml:2: "), "{error}");
    let text = format!("{BUILT_IN}\n{}", BUILT_IN.replace("# ", "## "));
    let error = Catalogue::parse(&text, "m.toml").unwrap_err();
    assert_eq!(error.0.len(), 86);
    assert!(error.to_string().contains("model `OPT-125M` stands twice"));
    assert!(Catalogue::parse("", "m.toml").unwrap_err().to_string().contains("no models"));
}
