//! The table that people paste into issues.

use std::io::{self, Write};

use super::held::SqlType;
use super::row::{Row, sql_type};
use super::write::text;

/// Fields that are shown where a row departs from what llama-bench does by itself, in the order of
/// its table.
const DEFAULTS: &[(&str, &str)] = &[
    ("n_cpu_moe", "0"),
    ("cpu_mask", "0x0"),
    ("cpu_strict", "0"),
    ("poll", "50"),
    ("n_batch", "2048"),
    ("n_ubatch", "512"),
    ("type_k", "f16"),
    ("type_v", "f16"),
    ("main_gpu", "0"),
    ("split_mode", "layer"),
    ("no_kv_offload", "0"),
    ("flash_attn", "-1"),
    ("devices", "auto"),
    ("tensor_split", "0.00"),
    ("tensor_buft_overrides", "none"),
    ("load_mode", "mmap"),
    ("embeddings", "0"),
    ("no_op_offload", "0"),
    ("no_host", "0"),
    ("fit_target", "0"),
    ("fit_min_ctx", "0"),
];

/// A table for each engine, for a table of llama-bench's is that of one program; its build below.
pub fn markdown(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let builder = |row: &Row| (text(row, "engine"), text(row, "build_commit"));
    let mut builders = Vec::new();
    for row in rows {
        if !builders.contains(&builder(row)) {
            builders.push(builder(row));
        }
    }
    for (i, of) in builders.iter().enumerate() {
        let rows: Vec<&Row> = rows.iter().filter(|row| builder(row) == *of).collect();
        if i > 0 {
            writeln!(out)?;
        }
        table(&rows, out)?;
        let (engine, commit) = of;
        let number = rows.first().and_then(|row| row.build_number).unwrap_or(0);
        let engine = if engine.is_empty() { String::new() } else { format!(" {engine}") };
        writeln!(out, "\nbuild: {commit} ({number}){engine}")?;
    }
    Ok(())
}

fn table(rows: &[&Row], out: &mut dyn Write) -> io::Result<()> {
    let fields = fields(rows);
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let head = fields.iter().map(|f| padded(display_name(f), width(f)));
    writeln!(out, "{}", line(head.collect()))?;
    let rule = fields.iter().map(|field| {
        let (n, end) = match width(field) {
            Width::Left(n) => (n, '-'),
            Width::Right(n) => (n, ':'),
        };
        format!("{}{end}", "-".repeat(n - 1))
    });
    writeln!(out, "{}", line(rule.collect()))?;
    for row in rows {
        let cells = fields.iter().map(|f| padded(&shown(row, f), width(f)));
        writeln!(out, "{}", line(cells.collect()))?;
    }
    Ok(())
}

fn fields(rows: &[&Row]) -> Vec<&'static str> {
    let mut fields = vec!["model", "size", "params", "backend"];
    let cpu = |row: &&Row| row.backends.as_deref().is_none_or(|b| b.contains("CPU"));
    if !rows.iter().all(cpu) {
        fields.push("n_gpu_layers");
    }
    let threads = |row: &&Row| row.n_threads;
    if rows.iter().any(cpu) || rows.windows(2).any(|two| threads(&two[0]) != threads(&two[1])) {
        fields.push("n_threads");
    }
    for (field, default) in DEFAULTS {
        if rows.iter().any(|row| text(row, field) != *default) {
            fields.push(field);
        }
    }
    fields.extend(["test", "t/s"]);
    fields
}

fn shown(row: &Row, field: &str) -> String {
    match field {
        "model" => row.model_type.replace('|', "\\|"),
        "size" => size(row.model_size.unwrap_or(0)),
        "params" => params(row.model_n_params.unwrap_or(0)),
        "backend" => text(row, "backends"),
        "test" => row.test(),
        "t/s" => {
            format!("{:.2} ± {:.2}", row.avg_ts.unwrap_or(0.0), row.stddev_ts.unwrap_or(0.0))
        }
        _ => text(row, field),
    }
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / 1024.0 / 1024.0;
    if bytes < 1 << 30 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

fn params(n: u64) -> String {
    if n < 1_000_000_000 {
        format!("{:.2} M", n as f64 / 1e6)
    } else {
        format!("{:.2} B", n as f64 / 1e9)
    }
}

enum Width {
    Left(usize),
    Right(usize),
}

fn width(field: &str) -> Width {
    match field {
        "model" => Width::Left(30),
        "t/s" => Width::Right(20),
        "n_gpu_layers" | "flash_attn" => Width::Right(3),
        "n_threads" | "n_batch" => Width::Right(7),
        "n_ubatch" => Width::Right(8),
        "type_k" | "type_v" | "split_mode" => Width::Right(6),
        "devices" => Width::Left(12),
        "test" => Width::Right(15),
        "no_op_offload" | "no_host" => Width::Right(4),
        "size" | "params" | "load_mode" => Width::Right(10),
        _ if sql_type(field) == SqlType::Text => Width::Left(field.len().max(10)),
        _ => Width::Right(field.len().max(10)),
    }
}

fn display_name(field: &str) -> &str {
    match field {
        "n_gpu_layers" => "ngl",
        "split_mode" => "sm",
        "n_threads" => "threads",
        "no_kv_offload" => "nkvo",
        "flash_attn" => "fa",
        "load_mode" => "lm",
        "embeddings" => "embd",
        "no_op_offload" => "nopo",
        "no_host" => "noh",
        "devices" => "dev",
        "tensor_split" => "ts",
        "tensor_buft_overrides" => "ot",
        "fit_target" => "fitt",
        "fit_min_ctx" => "fitc",
        other => other,
    }
}

fn padded(text: &str, width: Width) -> String {
    match width {
        Width::Left(n) => format!("{text:<n$}"),
        Width::Right(n) => format!("{text:>n$}"),
    }
}
