//! The rows that are shown: one for each model, form, engine and depth.

use serde_json::{Value, json};

use super::Arguments;
use super::device::Device;
use super::subjects::{Form, Subject};
use crate::cli::exit::{Ending, Failure};
use crate::report::{Align, Column, Narrow, Table, count, grouped, plain};
use crate::roofline::{Book, Phase, Prediction, Task, base_name};
use crate::units::Bytes;

/// Everything that is shown.
pub struct Sheet<'a> {
    arguments: &'a Arguments,
    n_threads: u32,
    rows: Vec<Row<'a>>,
    /// On what each engine's figures stand.
    bases: Vec<String>,
    notes: Vec<String>,
}

/// A model in one form, in one engine, at one depth.
struct Row<'a> {
    subject: &'a Subject,
    form: &'a Form,
    engine: &'a str,
    n_depth: u32,
    prefill: Option<Prediction>,
    decode: Option<Prediction>,
}

impl<'a> Sheet<'a> {
    /// Every subject in each of its forms.
    pub fn new(
        subjects: &'a [Subject],
        arguments: &'a Arguments,
        device: &Device,
        book: &Book,
        notes: Vec<String>,
    ) -> Result<Sheet<'a>, Failure> {
        let mut rows = Vec::new();
        let mut known_of = Vec::new();
        let mut bases = Vec::new();
        let machine = device.machine()?;
        for engine in &arguments.engine {
            let known = book.find(engine, &machine.class).or_usage()?;
            let (name, class) = (base_name(engine), &machine.class);
            bases.push(match known.fit {
                Some(fit) => {
                    let n_cells = fit.prefill_error.n_cells + fit.decode_error.n_cells;
                    format!(
                        "{name}: fitted to {} of {} on {class}, {}",
                        count(n_cells, "time"),
                        count(fit.models.len(), "model"),
                        fit.date
                    )
                }
                None => format!("{name}: never measured on {class}, so no more than a rough guess"),
            });
            known_of.push((engine, known));
        }
        for subject in subjects {
            for form in &subject.forms {
                for (engine, known) in &known_of {
                    for n_depth in &arguments.n_depth {
                        let pass = arguments.pass(*n_depth);
                        let arch = subject.shape.arch.name();
                        let predict = |phase| {
                            let task = Task::new(phase, &subject.shape, &form.tensors, &pass)?;
                            Some(Prediction::new(&task, arch, &machine, known))
                        };
                        rows.push(Row {
                            subject,
                            form,
                            engine: engine.as_str(),
                            n_depth: *n_depth,
                            prefill: predict(Phase::Prefill),
                            decode: predict(Phase::Decode),
                        });
                    }
                }
            }
        }
        Ok(Sheet { arguments, n_threads: device.n_threads, rows, bases, notes })
    }

    /// An aligned table and what it stands on.
    pub fn to_text(&self, width: usize) -> String {
        let Arguments { n_prompt, n_gen, .. } = *self.arguments;
        let left = |name: &str| Column::new(name, Align::Left);
        let right = |name: &str| Column::new(name, Align::Right);
        let has_engines = self.arguments.engine.len() > 1;
        let has_depths = self.arguments.n_depth != [0];
        let mut columns = vec![left("model"), left("quant")];
        columns.extend(has_engines.then(|| left("engine")));
        columns.push(right("weights").narrow(Narrow::Drop(1)));
        columns.extend(has_depths.then(|| right("depth")));
        let tests =
            [(n_prompt, format!("pp{n_prompt}"), "ms"), (n_gen, format!("tg{n_gen}"), "ms/token")];
        for (n, test, time) in &tests {
            if *n > 0 {
                columns.push(right(&format!("{test} t/s")));
                columns.push(right("80 %").narrow(Narrow::Drop(3)));
                columns.push(right(time).narrow(Narrow::Drop(2)));
                columns.push(left("bound by"));
            }
        }
        let mut table = Table::new(columns);
        for row in &self.rows {
            let mut cells = vec![row.subject.name.clone(), row.form.quant.clone()];
            cells.extend(has_engines.then(|| row.engine.to_owned()));
            cells.push(Bytes(row.form.weight_bytes).to_string());
            cells.extend(has_depths.then(|| row.n_depth.to_string()));
            for prediction in [&row.prefill, &row.decode].into_iter().flatten() {
                let (low, high) = prediction.tok_per_s_interval();
                let (binds, share) = prediction.parts.binds();
                cells.push(rough(prediction.tok_per_s()));
                cells.push(format!("[{}, {}]", rough(low), rough(high)));
                cells.push(rough(prediction.time_s() * 1e3));
                cells.push(format!("{} {:.0} %", binds.word(), share * 100.0));
            }
            table.push(cells);
        }
        let mut text = table.to_text(width);
        let threads = count(self.n_threads as usize, "thread");
        text.push_str(&format!("Expected with {threads}; four of five cells lie within 80 %.\n"));
        for basis in &self.bases {
            text.push_str(&format!("{}\n", plain(basis)));
        }
        for note in &self.notes {
            text.push_str(&format!("left out: {}\n", plain(note)));
        }
        text
    }

    /// Everything. The names of the fields are a promise to programs that read them.
    pub fn as_json(&self) -> Value {
        let arguments = self.arguments;
        let mut sheet = json!({
            "n_threads": self.n_threads,
            "n_prompt": arguments.n_prompt,
            "n_gen": arguments.n_gen,
            "n_ubatch": arguments.n_ubatch,
            "type_kv": arguments.type_kv,
            "basis": self.bases,
            "rows": self.rows.iter().map(Row::as_json).collect::<Vec<_>>(),
        });
        if !self.notes.is_empty() {
            sheet["left_out"] = json!(self.notes);
        }
        sheet
    }

    /// A line for each row.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |fields: Vec<String>| {
            writer.write_record(fields).expect("writing into memory cannot fail");
        };
        let front = [
            "model",
            "quant",
            "engine",
            "weight_bytes",
            "n_threads",
            "n_prompt",
            "n_gen",
            "n_depth",
        ];
        let of_phase =
            ["ms", "tok_per_s", "tok_per_s_lo", "tok_per_s_hi", "bound_by", "bound_share"];
        let mut header: Vec<String> = front.map(str::to_owned).into();
        for phase in Phase::BOTH {
            header.extend(of_phase.iter().map(|name| format!("{}_{name}", phase.word())));
        }
        write(header);
        for row in &self.rows {
            let mut fields = vec![
                row.subject.name.clone(),
                row.form.quant.clone(),
                row.engine.to_owned(),
                row.form.weight_bytes.to_string(),
                self.n_threads.to_string(),
                self.arguments.n_prompt.to_string(),
                self.arguments.n_gen.to_string(),
                row.n_depth.to_string(),
            ];
            for prediction in [&row.prefill, &row.decode] {
                fields.extend(match prediction {
                    Some(prediction) => {
                        let (low, high) = prediction.tok_per_s_interval();
                        let (binds, share) = prediction.parts.binds();
                        vec![
                            format!("{:.4}", prediction.time_s() * 1e3),
                            format!("{:.4}", prediction.tok_per_s()),
                            format!("{low:.4}"),
                            format!("{high:.4}"),
                            binds.word().to_owned(),
                            format!("{share:.4}"),
                        ]
                    }
                    None => vec![String::new(); of_phase.len()],
                });
            }
            write(fields);
        }
        let bytes = writer.into_inner().expect("writing into memory cannot fail");
        String::from_utf8(bytes).expect("names are text")
    }
}

/// Three digits: more would promise what no interval keeps.
fn rough(value: f64) -> String {
    grouped(
        value,
        if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        },
    )
}

impl Row<'_> {
    fn as_json(&self) -> Value {
        let mut value = json!({
            "model": self.subject.name,
            "arch": self.subject.shape.arch.name(),
            "quant": self.form.quant,
            "engine": self.engine,
            "weight_bytes": self.form.weight_bytes,
            "n_depth": self.n_depth,
        });
        for prediction in [&self.prefill, &self.decode].into_iter().flatten() {
            let (low, high) = prediction.tok_per_s_interval();
            let (binds, share) = prediction.parts.binds();
            value[prediction.phase.word()] = json!({
                "ms": prediction.time_s() * 1e3,
                "tok_per_s": prediction.tok_per_s(),
                "tok_per_s_lo": low,
                "tok_per_s_hi": high,
                "bound_by": binds.word(),
                "bound_share": share,
                "memory_ms": prediction.parts.memory_s * 1e3,
                "compute_ms": prediction.parts.compute_s * 1e3,
                "overhead_ms": prediction.parts.overhead_s * 1e3,
                "was_measured": prediction.was_measured,
            });
        }
        value
    }
}
