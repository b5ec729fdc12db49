//! The three CSV files: cells, samples, tokens. Columns are told in `docs/csv.md`; what is
//! missing is empty, never zero.

use std::io::{self, Write};

use super::types;
use super::view::{self, CellView, ReportView};
use crate::memory::{ByKind, Kind};
use crate::record::{Record, Sample};
use crate::stats;

const CELL_COLUMNS: [&str; 17] = [
    "cell_id",
    "engine",
    "model",
    "quant",
    "n_threads",
    "n_prompt",
    "n_gen",
    "n_depth",
    "n_ctx",
    "type_k",
    "type_v",
    "flash_attn",
    "n_ubatch",
    "backend_device",
    "outcome",
    "marks",
    "n_invocations",
];

/// `cells.csv`: a row per cell.
pub fn write_cells(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let measures: Vec<&str> =
        view::Measures::default().named().into_iter().map(|(name, _)| name).collect();
    let mut header: Vec<String> = CELL_COLUMNS.map(str::to_owned).into();
    header.extend(measures.iter().map(|m| (*m).to_owned()));
    header.extend(
        [
            "weight_bytes",
            "kv_bytes",
            "bits_per_weight",
            "type_shares",
            "n_params",
            "n_params_llama_cpp",
        ]
        .map(str::to_owned),
    );
    header.extend(measures.iter().flat_map(|m| [format!("{m}_lo"), format!("{m}_hi")]));
    for stage in ["predicted", "allocated", "resident"] {
        header.extend(Kind::ALL.map(|kind| format!("{stage}_{}_bytes", kind.word())));
    }
    header.extend(
        [
            "predicted_untouched_bytes",
            "untouched_bytes",
            "process_bytes",
            "unaccounted_bytes",
            "waited_s",
            "mbu",
            "mfu",
            "read_bytes_per_s",
            "ops_per_s",
        ]
        .map(str::to_owned),
    );
    csv.write_record(&header)?;
    for cell in &view.cells {
        csv.write_record(cell_row(cell))?;
    }
    csv.flush()
}

fn cell_row(view: &CellView) -> Vec<String> {
    let cell = view.cell;
    let measures = view.measures.named();
    let mut row = vec![
        cell.id.to_string(),
        cell.engine.clone(),
        cell.model.clone(),
        cell.quant.clone(),
        whole(view.n_threads()),
        cell.n_prompt.to_string(),
        cell.n_gen.to_string(),
        cell.n_depth.to_string(),
        whole(view.n_ctx()),
        cell.settings.type_k.to_string(),
        cell.settings.type_v.to_string(),
        view.flash_attn().to_string(),
        view.n_ubatch().to_string(),
        view.backend_device().to_owned(),
        view.outcome.word.to_owned(),
        marks(view.marks.iter().map(|m| m.word())),
        view.n_invocations.to_string(),
    ];
    row.extend(measures.iter().map(|(name, e)| measure(name, e.map(|e| e.value))));
    row.extend([
        whole(view.weight_bytes),
        whole(view.kv_bytes),
        bits(view),
        types::listed(view.model),
        whole(view.model.map(|m| m.n_params)),
        whole(view.model.map(|m| m.n_params_llama_cpp)),
    ]);
    for (name, estimate) in &measures {
        row.push(measure(name, estimate.and_then(|e| e.lo)));
        row.push(measure(name, estimate.and_then(|e| e.hi)));
    }
    row.extend(memory(view));
    row.push(waited(view));
    let shares = &view.shares;
    row.extend([shares.mbu, shares.mfu].map(real));
    row.extend([shares.read_bytes_per_s, shares.ops_per_s].map(|rate| measure("_bytes", rate)));
    row
}

/// Seconds that the machine took to come to rest before an invocation; the median of them.
fn waited(view: &CellView) -> String {
    let gates = view.records.iter().filter_map(|record| record.gate.as_ref());
    let seconds: Vec<f64> = gates.map(|gate| gate.waited_ns as f64 / 1e9).collect();
    stats::median(&seconds).map_or_else(String::new, |s| format!("{s:.1}"))
}

/// Memory by kind: predicted, allocated, resident; and what belongs to no kind.
fn memory(view: &CellView) -> Vec<String> {
    let memory = view.memory.as_ref();
    const ALLOCATED: usize = 1;
    let stages = [
        view.predicted.as_ref().map(ByKind::from),
        view.allocated.map(ByKind::from),
        memory.map(|m| m.resident),
    ];
    let mut fields: Vec<String> = stages
        .iter()
        .enumerate()
        .flat_map(|(i, stage)| {
            let counted = |kind: Kind| i != ALLOCATED || kind.is_counted_by_engines();
            Kind::ALL.map(|kind| whole(stage.filter(|_| counted(kind)).map(|s| s.of(kind))))
        })
        .collect();
    fields.extend([
        whole(view.predicted_untouched_bytes()),
        whole(memory.map(|m| m.untouched().total())),
        whole(memory.map(|m| m.process_bytes)),
        whole(memory.map(|m| m.unaccounted_bytes())),
    ]);
    fields
}

/// `samples.csv`: a row per repetition, of invocations that did not finish too.
pub fn write_samples(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "cell_id",
        "engine",
        "model",
        "quant",
        "n_threads",
        "n_prompt",
        "n_gen",
        "n_depth",
        "invocation",
        "repetition",
        "outcome",
        "marks",
        "start_ns",
        "prefill_ns",
        "ttft_ns",
        "decode_ns",
        "prefill_tok_per_s",
        "decode_tok_per_s",
        "tpot_ms",
        "bits_per_weight",
        "type_shares",
    ])?;
    for (cell, record, repetition, sample) in samples(view) {
        csv.write_record([
            cell.cell.id.to_string(),
            cell.cell.engine.clone(),
            cell.cell.model.clone(),
            cell.cell.quant.clone(),
            whole(cell.n_threads()),
            cell.cell.n_prompt.to_string(),
            cell.cell.n_gen.to_string(),
            cell.cell.n_depth.to_string(),
            record.invocation.to_string(),
            repetition.to_string(),
            record.outcome.word().to_owned(),
            marks(record.marks.iter().map(|m| m.word())),
            sample.start_ns.to_string(),
            whole(sample.prefill_ns),
            whole(sample.ttft_ns),
            whole(sample.decode_ns()),
            real(view::prefill_tok_per_s(record, sample)),
            real(view::decode_tok_per_s(sample)),
            real(view::tpot_ms(sample)),
            bits(cell),
            types::listed(cell.model),
        ])?;
    }
    csv.flush()
}

/// `tokens.csv`: a row per decode call. `position` is the number of tokens in the KV cache when
/// the call began.
pub fn write_tokens(view: &ReportView, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["cell_id", "invocation", "repetition", "position", "itl_ns"])?;
    for (cell, record, repetition, sample) in samples(view) {
        let (invocation, repetition) = (record.invocation.to_string(), repetition.to_string());
        for (i, itl_ns) in sample.itl_ns.iter().enumerate() {
            let position = u64::from(cell.decode_depth()) + i as u64;
            csv.write_record([
                &cell.cell.id.0,
                &invocation,
                &repetition,
                &position.to_string(),
                &itl_ns.to_string(),
            ])?;
        }
    }
    csv.flush()
}

/// Every timed pass, in the order of cells, invocations, repetitions.
fn samples<'a>(
    view: &'a ReportView,
) -> impl Iterator<Item = (&'a CellView<'a>, &'a Record, usize, &'a Sample)> {
    view.cells.iter().flat_map(|cell| {
        cell.records.iter().flat_map(move |&record| {
            record.samples.iter().enumerate().map(move |(i, sample)| (cell, record, i, sample))
        })
    })
}

fn marks(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(";")
}

fn bits(view: &CellView) -> String {
    view.bits_per_weight.map(|b| format!("{b:.4}")).unwrap_or_default()
}

fn whole<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// Six decimals: a nanosecond, in milliseconds.
fn real(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map(|v| format!("{v:.6}")).unwrap_or_default()
}

fn measure(name: &str, value: Option<f64>) -> String {
    if name.ends_with("_bytes") {
        value.filter(|v| v.is_finite()).map(|v| format!("{v:.0}")).unwrap_or_default()
    } else {
        real(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Fixture};

    fn written(
        fixture: &Fixture,
        write: fn(&ReportView, &mut dyn Write) -> io::Result<()>,
    ) -> String {
        let mut out = Vec::new();
        write(&ReportView::new(&fixture.run, &fixture.records), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows(text: &str) -> Vec<Vec<(String, String)>> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let cells = |row: csv::StringRecord| {
            header.iter().zip(row.iter()).map(|(h, v)| (h.to_owned(), v.to_owned())).collect()
        };
        reader.records().map(|row| cells(row.unwrap())).collect()
    }

    fn field(row: &[(String, String)], name: &str) -> String {
        row.iter().find(|(h, _)| h == name).unwrap_or_else(|| panic!("no {name}")).1.clone()
    }

    #[test]
    fn cells_csv_is_as_it_was() {
        insta::assert_snapshot!(written(&fixture::matrix(3), write_cells));
    }

    #[test]
    fn cells_that_did_not_finish_have_rows_and_empty_numbers() {
        insta::assert_snapshot!(written(&fixture::mishaps(), write_cells));
    }

    #[test]
    fn interval_columns_are_empty_below_three_invocations() {
        let text = written(&fixture::matrix(2), write_cells);
        for row in rows(&text) {
            assert_eq!(field(&row, "n_invocations"), "2");
            assert_ne!(field(&row, "tpot_ms"), "");
            assert!(row.iter().all(|(h, v)| v.is_empty() || !h.ends_with("_lo")), "{row:?}");
        }
    }

    #[test]
    fn every_repetition_and_every_token_time_has_a_row() {
        let fixture = fixture::matrix(2);
        let samples = rows(&written(&fixture, write_samples));
        assert_eq!(samples.len(), 24 * 2 * 5);
        let tokens = rows(&written(&fixture, write_tokens));
        assert_eq!(tokens.len(), 24 * 2 * 5 * 64);
        // The second cell starts at depth 512; its prompt comes before the first decode call.
        let first = &tokens[2 * 5 * 64];
        assert_eq!(field(first, "cell_id"), fixture.run.cells[1].id.0);
        assert_eq!(field(first, "position"), "640");
        assert_eq!(field(first, "itl_ns"), fixture.records[2].samples[0].itl_ns[0].to_string());
    }

    #[test]
    fn every_column_stands_in_the_documents_and_those_promised_stand_in_order() {
        let fixture = fixture::single(3);
        let docs = include_str!("../../docs/csv.md");
        for write in [write_cells, write_samples, write_tokens] {
            let text = written(&fixture, write);
            for column in text.lines().next().unwrap().split(',') {
                let measure = column.trim_end_matches("_lo").trim_end_matches("_hi");
                // `cell_id` … `n_depth` are told once, for all three files.
                assert!(docs.contains(&format!("`{measure}`")), "{column}");
            }
        }
        let cells = written(&fixture, write_cells);
        assert!(cells.starts_with(
            "cell_id,engine,model,quant,n_threads,n_prompt,n_gen,n_depth,n_ctx,type_k,type_v,\
             flash_attn,n_ubatch,backend_device,outcome,marks,n_invocations,prefill_ms,\
             prefill_tok_per_s,ttft_ms,tpot_ms,decode_tok_per_s,itl_p50_ms,itl_p90_ms,itl_p99_ms,\
             load_ms,peak_rss_bytes,weight_bytes,kv_bytes,bits_per_weight,type_shares,n_params,\
             n_params_llama_cpp,prefill_ms_lo,prefill_ms_hi,"
        ));
    }
}
