//! How much of what the device can do a cell used: what it had to read and to compute, against the
//! ceilings that were probed. Work is counted as the model asks for it ([`crate::roofline`]), so that
//! engines are held against the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cell, Outcome, Record, Sample};
use crate::ggml::GgmlType;
use crate::model::{ModelShape, TensorSpec};
use crate::probe::Probe;
use crate::roofline::{self, Call, Ceilings};
use crate::stats::median;

/// What the calls of a cell have to do.
#[derive(Clone, Debug, PartialEq)]
pub struct CellWork {
    /// Bytes of weights and cache that a decode call reads, the mean over the cell's; absent without
    /// one.
    pub decode_bytes: Option<f64>,
    /// The prefill; absent without a prompt.
    pub prefill: Option<roofline::Work>,
}

/// Decode calls that are looked at: what they read grows evenly with their depth.
const MOST_DEPTHS: u32 = 64;

impl CellWork {
    /// That of `cell` on a model of this shape with these tensors.
    pub fn new(cell: &Cell, shape: &ModelShape, tensors: &[(TensorSpec, GgmlType)]) -> CellWork {
        let settings = &cell.settings;
        let work = |n_tokens: u32, n_past: u32| {
            let call = Call {
                n_tokens,
                n_past,
                n_ubatch: settings.n_ubatch.min(settings.n_batch),
                type_k: settings.type_k,
                type_v: settings.type_v,
            };
            roofline::Work::new(shape, tensors, call)
        };
        // As many, from the first to the last, as far apart.
        let n = cell.n_gen.min(MOST_DEPTHS);
        let nth = |i: u32| u64::from(cell.n_gen - 1) * u64::from(i) / u64::from(n.max(2) - 1);
        let first = cell.n_depth + cell.n_prompt;
        let bytes = (0..n).map(|i| work(1, first + nth(i) as u32).bytes() as f64);
        CellWork {
            decode_bytes: (n > 0).then(|| bytes.sum::<f64>() / f64::from(n)),
            prefill: (cell.n_prompt > 0).then(|| work(cell.n_prompt, cell.n_depth)),
        }
    }
}

/// Which probe a cell is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldAgainst {
    /// The one right before it.
    Cell,
    /// The one at the beginning of the run.
    Run,
}

/// How much of what the device can do an invocation used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Efficiency {
    /// Where the ceilings come from.
    pub held_against: HeldAgainst,
    /// Bytes that could be read from memory in a second.
    pub read_bytes_per_s: f64,
    /// Operations of the prefill that could be made in a second, each in the kind of number of its
    /// weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ops_per_s: Option<f64>,
    /// Bytes of weights and cache that a decode call reads, the mean over the cell's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decode_bytes: Option<f64>,
    /// Operations of the prefill; a product and its addition are two.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prefill_ops: Option<u64>,
    /// Of the bandwidth of memory, the share that decode used: `decode_bytes` × calls per second ÷
    /// `read_bytes_per_s`. Above 1 where caches held part of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mbu: Option<f64>,
    /// Of the peak of arithmetic, the share that prefill used: the seconds that it takes at the least ÷
    /// those that it took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mfu: Option<f64>,
}

impl Record {
    /// The probe that its numbers are held against: its own, or else that of the run.
    ///
    /// `None` where another device than the CPU computed, of which no probe knows, or where no probe
    /// was of as many threads on the same CPUs.
    pub fn held_against<'a>(
        &'a self,
        of_run: Option<&'a Probe>,
    ) -> Option<(HeldAgainst, &'a Probe)> {
        let resolved = self.resolved.as_ref()?;
        if !resolved.backend_device.eq_ignore_ascii_case("cpu") {
            return None;
        }
        let fits = |probe: &&Probe| {
            probe.cpus == self.cpus && Ceilings::of(probe, resolved.n_threads).is_some()
        };
        let own = self.probe.as_ref().filter(fits).map(|probe| (HeldAgainst::Cell, probe));
        own.or_else(|| of_run.filter(fits).map(|probe| (HeldAgainst::Run, probe)))
    }
}

impl Efficiency {
    /// That of `record`, whose calls do `work`: against its own probe, or else that of the run.
    ///
    /// `None` where it did not finish, where another device than the CPU computed, of which no probe
    /// knows, or where no probe was of as many threads on the same CPUs.
    pub fn of(record: &Record, work: &CellWork, of_run: Option<&Probe>) -> Option<Efficiency> {
        if record.outcome != Outcome::Finished {
            return None;
        }
        let (held_against, probe) = record.held_against(of_run)?;
        let ceilings = Ceilings::of(probe, record.resolved.as_ref()?.n_threads)?;
        let median_s = |seconds: fn(&Sample) -> Option<f64>| {
            let all: Vec<f64> = record.samples.iter().filter_map(seconds).collect();
            median(&all).filter(|seconds| *seconds > 0.0)
        };
        let call_s =
            median_s(|sample| Some(sample.decode_ns()? as f64 / 1e9 / sample.itl_ns.len() as f64));
        let prefill_s = median_s(|sample| Some(sample.prefill_ns? as f64 / 1e9));
        let prefill_ops = work.prefill.as_ref().map(roofline::Work::ops);
        let least_s = work.prefill.as_ref().and_then(|work| ceilings.compute_s(work));
        let least_s = least_s.filter(|seconds| *seconds > 0.0);
        let share = |part: Option<f64>, whole: Option<f64>| Some(part? / whole?);
        let mbu = share(work.decode_bytes, call_s).map(|rate| rate / ceilings.read_bytes_per_s);
        let mfu = share(least_s, prefill_s);
        (mbu.is_some() || mfu.is_some()).then_some(Efficiency {
            held_against,
            read_bytes_per_s: ceilings.read_bytes_per_s,
            ops_per_s: share(prefill_ops.map(|ops| ops as f64), least_s),
            decode_bytes: work.decode_bytes,
            prefill_ops,
            mbu,
            mfu,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Catalogue, FileMix};
    use crate::report::fixture;

    fn probe(n_threads: u32, read: f64, ops: f64) -> Probe {
        let mut probe = fixture::probe();
        for reading in &mut probe.memory {
            (reading.n_threads, reading.bytes_per_s.best) = (n_threads, read);
        }
        for peak in &mut probe.peaks {
            (peak.n_threads, peak.ops_per_s.best) = (n_threads, ops);
        }
        probe
    }

    /// A record of four threads that read 20 bytes in a millisecond and took 10 ms for the prompt.
    fn measured() -> (Record, CellWork) {
        let mut record = fixture::single(1).records.remove(0);
        record.samples = vec![Sample {
            start_ns: 0,
            prefill_ns: Some(10_000_000),
            ttft_ns: Some(10_000_000),
            itl_ns: vec![500_000, 1_500_000],
        }];
        let prefill = roofline::Work {
            matmul_ops: [(GgmlType::Q8_0, 3_000)].into(),
            attention_ops: 1_000,
            ..roofline::Work::default()
        };
        (record, CellWork { decode_bytes: Some(20.0), prefill: Some(prefill) })
    }

    #[test]
    fn a_share_is_what_was_used_of_the_ceiling_of_as_many_threads() {
        let (record, work) = measured();
        let found = Efficiency::of(&record, &work, Some(&probe(4, 40e3, 800e3))).unwrap();
        assert_eq!(found.mbu, Some(0.5));
        assert_eq!(found.mfu, Some(0.5));
        assert_eq!((found.prefill_ops, found.ops_per_s), (Some(4_000), Some(800e3)));
        assert_eq!(found.held_against, HeldAgainst::Run);
        assert_eq!(Efficiency::of(&record, &work, Some(&probe(2, 40e3, 800e3))), None);
        assert_eq!(Efficiency::of(&record, &work, None), None);
    }

    #[test]
    fn a_probe_beside_the_cell_counts_before_that_of_the_run() {
        let (mut record, work) = measured();
        record.probe = Some(probe(4, 10e3, 800e3));
        let found = Efficiency::of(&record, &work, Some(&probe(4, 40e3, 800e3))).unwrap();
        // More than memory gives: a cache held it.
        assert_eq!((found.mbu, found.held_against), (Some(2.0), HeldAgainst::Cell));
    }

    #[test]
    fn what_no_probe_speaks_of_has_no_share() {
        let (record, work) = measured();
        let of_run = probe(4, 40e3, 800e3);
        let none = |change: fn(&mut Record)| {
            let mut record = record.clone();
            change(&mut record);
            assert_eq!(Efficiency::of(&record, &work, Some(&of_run)), None);
        };
        none(|record| record.resolved.as_mut().unwrap().backend_device = "CUDA0".into());
        none(|record| record.outcome = Outcome::TimedOut { limit_s: 1 });
        none(|record| record.cpus = vec![0, 1]);
        none(|record| record.samples.clear());
        let no_prompt = CellWork { prefill: None, ..work.clone() };
        let found = Efficiency::of(&record, &no_prompt, Some(&of_run)).unwrap();
        assert_eq!((found.mbu, found.mfu, found.ops_per_s), (Some(0.5), None, None));
    }

    #[test]
    fn a_decode_call_reads_the_mean_over_the_depths_of_the_cell() {
        let catalogue = Catalogue::built_in().unwrap();
        let shape = catalogue.get("SmolLM2-135M").unwrap();
        let tensors = FileMix::Q8_0.tensors(shape);
        let work = |n_prompt: u32, n_gen: u32, n_depth: u32| {
            let mut cell = fixture::cell("SmolLM2-135M", GgmlType::Q8_0, "reference", n_depth);
            (cell.n_prompt, cell.n_gen) = (n_prompt, n_gen);
            CellWork::new(&cell, shape, &tensors)
        };
        let one = work(0, 1, 0).decode_bytes.unwrap();
        // 30 layers, 3 heads of 64, keys and values of 2 bytes.
        let token = f64::from(30 * 3 * 64 * 2 * 2);
        assert_eq!(work(100, 1, 20).decode_bytes, Some(one + 120.0 * token));
        assert_eq!(work(0, 3, 0).decode_bytes, Some(one + token));
        assert_eq!(work(0, 1 + 63 * 1000, 0).decode_bytes, Some(one + 31_500.0 * token));
        assert_eq!(work(8, 0, 0).decode_bytes, None);
        assert!(work(8, 0, 0).prefill.is_some() && work(0, 8, 0).prefill.is_none());
    }
}
