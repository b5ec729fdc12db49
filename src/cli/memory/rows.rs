//! The rows that are shown: one for each model, form and context; and what of them fits.

use serde_json::{Value, json};

use super::Context;
use super::subjects::{Form, Subject};
use crate::cli::list::table;
use crate::memory::{
    MemoryBudget, MemoryDetail, Offload, Request, WeightBytes, best_mix, largest_n_ctx,
};
use crate::model::{FileMix, ModelShape};
use crate::report::{Need, grouped, plain};
use crate::units::Bytes;

/// Memory that there is.
pub struct Budget {
    /// How much.
    pub bytes: u64,
    /// The device that has it.
    pub device: Option<String>,
}

/// Everything that is shown.
pub struct Sheet<'a> {
    request: Request,
    budget: Option<Budget>,
    rows: Vec<Row<'a>>,
    largest: Vec<Largest<'a>>,
    best: Vec<Best<'a>>,
    notes: Vec<String>,
    /// The engine that was asked.
    engine: Option<String>,
}

/// A model in one form with one context.
struct Row<'a> {
    subject: &'a Subject,
    form: &'a Form,
    detail: MemoryDetail,
    /// What an engine says it would take.
    exact: Option<MemoryBudget>,
}

/// Bytes of a row, by kind.
struct Parts {
    weights: u64,
    copy: u64,
    kv: u64,
    compute: u64,
    /// Absent where an engine counts them among compute buffers.
    host: Option<(u64, u64)>,
    output: u64,
    /// Absent where nobody was asked.
    heap: Option<u64>,
    total: u64,
}

impl Row<'_> {
    fn parts(&self) -> Parts {
        let detail = &self.detail;
        let buffers = &detail.buffers;
        match &self.exact {
            None => Parts {
                weights: detail.weights.total_bytes(),
                copy: detail.weight_copy_bytes,
                kv: detail.kv_bytes(),
                compute: buffers.compute_bytes,
                host: Some((buffers.mask_bytes, buffers.input_bytes)),
                output: buffers.output_bytes,
                heap: None,
                total: detail.total_bytes(),
            },
            Some(exact) => Parts {
                weights: exact.weight_bytes,
                copy: exact.weight_copy_bytes,
                kv: exact.kv_bytes,
                compute: exact.compute_bytes,
                host: None,
                output: exact.output_bytes,
                heap: Some(exact.heap_bytes),
                total: exact.total_bytes(),
            },
        }
    }
}

impl Parts {
    /// Of everything, what the cache takes, 0 to 1.
    fn kv_share(&self) -> f64 {
        self.kv as f64 / self.total.max(1) as f64
    }
}

/// The largest context that fits.
struct Largest<'a> {
    subject: &'a Subject,
    form: &'a Form,
    n_ctx: Option<u32>,
}

/// The mix with most bits that fits.
struct Best<'a> {
    subject: &'a Subject,
    n_ctx: u32,
    form: Option<Form>,
}

impl<'a> Sheet<'a> {
    /// Every subject in each of its forms with every context.
    pub fn new(
        subjects: &'a [Subject],
        contexts: &[Context],
        request: Request,
        budget: Option<Budget>,
        notes: Vec<String>,
    ) -> Sheet<'a> {
        let mut sheet = Sheet {
            request,
            budget,
            rows: vec![],
            largest: vec![],
            best: vec![],
            notes,
            engine: None,
        };
        for subject in subjects {
            let lengths = lengths(contexts, &subject.shape);
            for form in &subject.forms {
                sheet.rows.extend(lengths.iter().map(|&n_ctx| {
                    let request = Request { n_ctx, ..request };
                    let detail = MemoryDetail::new(&form.weights, &subject.shape, &request);
                    Row { subject, form, detail, exact: None }
                }));
            }
            if let Some(budget) = &sheet.budget {
                let bytes = budget.bytes;
                sheet.largest.extend(subject.forms.iter().map(|form| {
                    let n_ctx = largest_n_ctx(&form.weights, &subject.shape, &request, bytes);
                    Largest { subject, form, n_ctx }
                }));
                if subject.is_shape {
                    sheet.best.extend(best(subject, &lengths, request, bytes));
                }
            }
        }
        sheet
    }

    /// Puts what an engine answers for each row in the place of the estimate: `ask` is given the
    /// model, its form and the context. What fits is still searched by formula.
    pub fn ask(
        &mut self,
        engine: &str,
        mut ask: impl FnMut(&Subject, &Form, u32) -> Result<MemoryBudget, String>,
    ) -> Result<(), String> {
        for row in &mut self.rows {
            let exact = ask(row.subject, row.form, row.detail.n_ctx);
            row.exact = Some(exact.map_err(|e| format!("{}: {e}", row.subject.name))?);
        }
        self.engine = Some(engine.to_owned());
        Ok(())
    }

    /// What is drawn: every row.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let need = |row: &'_ Row<'a>| Need {
            model: &row.subject.name,
            quant: &row.form.quant,
            shape: &row.subject.shape,
            weights: &row.form.weights,
            request: Request { n_ctx: row.detail.n_ctx, ..self.request },
        };
        self.rows.iter().map(need).collect()
    }

    /// The memory there is.
    pub fn budget_bytes(&self) -> Option<u64> {
        self.budget.as_ref().map(|budget| budget.bytes)
    }

    fn fits(&self, row: &Row) -> Option<bool> {
        let needed = row.exact.map_or(row.detail.total_bytes(), |exact| exact.needed_bytes());
        Some(needed <= self.budget.as_ref()?.bytes)
    }

    /// Aligned tables.
    pub fn to_text(&self, width: usize) -> String {
        let budget = if self.budget.is_some() { "fits" } else { "" };
        let mut needs = table(&[
            "model",
            "quant",
            ">bpw",
            ">n_ctx",
            ">weights",
            ">copy",
            ">KV",
            ">compute",
            ">host",
            ">total",
            ">KV share",
            budget,
        ]);
        for row in &self.rows {
            let parts = row.parts();
            let (mask, input) = parts.host.unwrap_or_default();
            let host = mask.saturating_add(input).saturating_add(parts.output);
            needs.push(vec![
                row.subject.name.clone(),
                row.form.quant.clone(),
                format!("{:.2}", row.form.bits_per_weight),
                row.detail.n_ctx.to_string(),
                mib(parts.weights),
                if parts.copy > 0 { mib(parts.copy) } else { String::new() },
                mib(parts.kv),
                mib(parts.compute),
                mib(host),
                mib(parts.total),
                format!("{:.1} %", 100.0 * parts.kv_share()),
                match self.fits(row) {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "no".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        let mut text = needs.to_text(width);
        let basis = match &self.engine {
            Some(engine) => format!("as {engine} would take it here"),
            None => "an estimate by formula".to_owned(),
        };
        text.push_str(&format!("In MiB, {basis}; {}.\n", self.request));
        if let Some(budget) = &self.budget {
            text.push_str(&self.what_fits(budget, width));
        }
        for note in &self.notes {
            text.push_str(&format!("left out: {}\n", plain(note)));
        }
        text
    }

    fn what_fits(&self, budget: &Budget, width: usize) -> String {
        let device = budget.device.as_ref().map(|device| format!(", {}", plain(device)));
        let mut text = format!("\nInto {}{}:\n", Bytes(budget.bytes), device.unwrap_or_default());
        let mut largest = table(&["model", "quant", ">longest n_ctx that fits", ">trained for"]);
        for row in &self.largest {
            largest.push(vec![
                row.subject.name.clone(),
                row.form.quant.clone(),
                row.n_ctx.map_or_else(|| "none".to_owned(), |n| n.to_string()),
                row.subject.shape.n_ctx_train.to_string(),
            ]);
        }
        text.push_str(&largest.to_text(width));
        if self.best.is_empty() {
            return text;
        }
        let mut best = table(&["model", ">n_ctx", "best quant that fits", ">bpw", ">weights"]);
        for row in &self.best {
            let (quant, bpw, weights) = match &row.form {
                Some(form) => (
                    form.quant.clone(),
                    format!("{:.2}", form.bits_per_weight),
                    mib(form.weights.total_bytes()),
                ),
                None => ("none".to_owned(), "–".to_owned(), "–".to_owned()),
            };
            best.push(vec![row.subject.name.clone(), row.n_ctx.to_string(), quant, bpw, weights]);
        }
        text.push('\n');
        text.push_str(&best.to_text(width));
        text
    }

    /// Everything in bytes. The names of the fields are a promise to programs that read them.
    pub fn as_json(&self) -> Value {
        let request = &self.request;
        let mut sheet = json!({
            "basis": if self.engine.is_some() { "engine" } else { "estimate" },
            "settings": {
                "n_ubatch": request.n_ubatch,
                "type_k": request.type_k,
                "type_v": request.type_v,
                "flash_attn": request.flash_attn,
                "offload": request.offload == Offload::Full,
                "swa_full": request.swa_full,
            },
            "rows": self.rows.iter().map(|row| self.row_as_json(row)).collect::<Vec<_>>(),
        });
        if let Some(engine) = &self.engine {
            sheet["engine"] = json!(engine);
        }
        if !self.notes.is_empty() {
            sheet["left_out"] = json!(self.notes);
        }
        let Some(budget) = &self.budget else { return sheet };
        sheet["budget"] = json!({ "bytes": budget.bytes });
        if let Some(device) = &budget.device {
            sheet["budget"]["device"] = json!(device);
        }
        let largest = self.largest.iter().map(
            |row| json!({ "model": row.subject.name, "quant": row.form.quant, "n_ctx": row.n_ctx }),
        );
        sheet["largest_n_ctx"] = largest.collect();
        let best = self.best.iter().map(|row| {
            json!({
                "model": row.subject.name,
                "n_ctx": row.n_ctx,
                "quant": row.form.as_ref().map(|form| &form.quant),
                "bits_per_weight": row.form.as_ref().map(|form| form.bits_per_weight),
            })
        });
        sheet["best_quant"] = best.collect();
        sheet
    }

    fn row_as_json(&self, row: &Row) -> Value {
        let (detail, parts) = (&row.detail, row.parts());
        let mut value = json!({
            "model": row.subject.name,
            "arch": row.subject.shape.arch.name(),
            "quant": row.form.quant,
            "bits_per_weight": row.form.bits_per_weight,
            "n_ctx": detail.n_ctx,
            "n_ctx_train": row.subject.shape.n_ctx_train,
            "weight_bytes": parts.weights,
            "weight_type_bytes": detail.weights.by_type,
            "weight_group_bytes": detail.weights.by_group,
            "weight_copy_bytes": parts.copy,
            "kv_bytes": parts.kv,
            "kv_layer_bytes": detail.kv_layer_bytes,
            "compute_bytes": parts.compute,
            "output_bytes": parts.output,
            "total_bytes": parts.total,
            "kv_share": parts.kv_share(),
        });
        if let Some((mask, input)) = parts.host {
            value["mask_bytes"] = json!(mask);
            value["input_bytes"] = json!(input);
        }
        if let Some(heap) = parts.heap {
            value["heap_bytes"] = json!(heap);
        }
        if let Some(bytes) = detail.kv_windowed_bytes {
            value["kv_windowed_bytes"] = json!(bytes);
        }
        if let Some(fits) = self.fits(row) {
            value["fits"] = json!(fits);
        }
        value
    }

    /// A line for each row, in bytes.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = [
            "model",
            "quant",
            "bits_per_weight",
            "n_ctx",
            "weight_bytes",
            "weight_copy_bytes",
            "kv_bytes",
            "compute_bytes",
            "mask_bytes",
            "input_bytes",
            "output_bytes",
            "heap_bytes",
            "total_bytes",
            "kv_share",
            "fits",
        ];
        let mut write = |fields: Vec<String>| {
            writer.write_record(fields).expect("writing into memory cannot fail");
        };
        write(header.map(str::to_owned).to_vec());
        for row in &self.rows {
            let parts = row.parts();
            let host = |which: fn((u64, u64)) -> u64| parts.host.map(which);
            let numbers = [
                Some(parts.weights),
                Some(parts.copy),
                Some(parts.kv),
                Some(parts.compute),
                host(|(mask, _)| mask),
                host(|(_, input)| input),
                Some(parts.output),
                parts.heap,
                Some(parts.total),
            ];
            let numbers = numbers.map(|n| n.map_or_else(String::new, |n| n.to_string()));
            let front = [
                row.subject.name.clone(),
                row.form.quant.clone(),
                format!("{:.4}", row.form.bits_per_weight),
                row.detail.n_ctx.to_string(),
            ];
            let fits = self.fits(row).map_or_else(String::new, |fits| fits.to_string());
            let back = [format!("{:.4}", parts.kv_share()), fits];
            write(front.into_iter().chain(numbers).chain(back).collect());
        }
        let bytes = writer.into_inner().expect("writing into memory cannot fail");
        String::from_utf8(bytes).expect("names are text")
    }
}

/// Bytes in MiB with one decimal, thousands apart.
pub fn mib(bytes: u64) -> String {
    grouped(bytes as f64 / f64::from(1 << 20), 1)
}

/// Lengths in tokens, each once.
fn lengths(contexts: &[Context], shape: &ModelShape) -> Vec<u32> {
    let mut lengths = Vec::new();
    for context in contexts {
        let n_ctx = match context {
            Context::Tokens(n) => *n,
            Context::Max => shape.n_ctx_train,
        };
        if !lengths.contains(&n_ctx) {
            lengths.push(n_ctx);
        }
    }
    lengths
}

/// The best mix at each length. Published weights have 16 bits at most: nothing is won by more.
fn best<'a>(subject: &'a Subject, lengths: &[u32], request: Request, bytes: u64) -> Vec<Best<'a>> {
    let shape = &subject.shape;
    let mixes = FileMix::ALL.iter().filter(|mix| **mix != FileMix::F32);
    let mixes: Vec<(FileMix, WeightBytes)> =
        mixes.map(|&mix| (mix, WeightBytes::of_mix(shape, mix))).collect();
    let n_params = shape.n_params();
    let at = |&n_ctx: &u32| {
        let mix = best_mix(&mixes, shape, &Request { n_ctx, ..request }, bytes);
        let form = mix.map(|mix| Form::of_mix(shape, n_params, mix));
        Best { subject, n_ctx, form }
    };
    lengths.iter().map(at).collect()
}
