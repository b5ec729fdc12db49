//! The axes of a matrix, and the points they span.

use super::threads::Threads;
use crate::ggml::GgmlType;
use crate::settings::{Auto, FlashAttn, LoadMode, Settings};

/// One matrix: the values along every axis. No axis is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Engines as the suite names them.
    pub engine: Vec<String>,
    /// Models by name or pattern.
    pub model: Vec<String>,
    /// File mixes by name.
    pub quant: Vec<String>,
    /// CPUs the child may use.
    pub cpus: Vec<String>,
    /// Threads computing.
    pub n_threads: Vec<Threads>,
    /// Prompt tokens of the timed prefill.
    pub n_prompt: Vec<u32>,
    /// Decode calls timed.
    pub n_gen: Vec<u32>,
    /// Tokens in the KV cache before timing starts.
    pub n_depth: Vec<u32>,
    /// Capacity of the KV cache.
    pub n_ctx: Vec<Auto<u32>>,
    /// Logical batch.
    pub n_batch: Vec<u32>,
    /// Physical batch.
    pub n_ubatch: Vec<u32>,
    /// Element types of keys and values in the KV cache, in pairs.
    pub type_kv: Vec<(GgmlType, GgmlType)>,
    /// Flash attention.
    pub flash_attn: Vec<FlashAttn>,
    /// How weights are loaded.
    pub load_mode: Vec<LoadMode>,
    /// Devices that compute.
    pub backend_device: Vec<String>,
    /// Layers on that device.
    pub n_gpu_layers: Vec<Auto<u32>>,
}

impl Default for Axes {
    /// Nothing to measure yet (no engine, model or quant); every setting at its default.
    fn default() -> Axes {
        let settings = Settings::default();
        Axes {
            engine: Vec::new(),
            model: Vec::new(),
            quant: Vec::new(),
            cpus: vec!["all".to_owned()],
            n_threads: vec![Threads::Auto],
            n_prompt: vec![0],
            n_gen: vec![0],
            n_depth: vec![0],
            n_ctx: vec![settings.n_ctx],
            n_batch: vec![settings.n_batch],
            n_ubatch: vec![settings.n_ubatch],
            type_kv: vec![(settings.type_k, settings.type_v)],
            flash_attn: vec![settings.flash_attn],
            load_mode: vec![settings.load_mode],
            backend_device: vec![settings.backend_device],
            n_gpu_layers: vec![settings.n_gpu_layers],
        }
    }
}

/// Whether a word of the axis `model` stands for several names: it has `*` or `?` in it.
pub fn is_pattern(model: &str) -> bool {
    model.contains(['*', '?'])
}

/// One point of a matrix: a cell before it is known where its weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The engine as the suite names it.
    pub engine: String,
    /// The model's name, or a pattern of names.
    pub model: String,
    /// The file mix.
    pub quant: String,
    /// CPUs the child may use.
    pub cpus: String,
    /// Prompt tokens of the timed prefill.
    pub n_prompt: u32,
    /// Decode calls timed.
    pub n_gen: u32,
    /// Tokens in the KV cache before timing starts.
    pub n_depth: u32,
    /// How the engine is asked to run.
    pub settings: Settings,
}

impl Point {
    /// Tokens the KV cache must hold.
    pub fn n_ctx_needed(&self) -> u32 {
        self.n_depth.saturating_add(self.n_prompt).saturating_add(self.n_gen)
    }

    /// The first thing about this point that cannot be, if there is one.
    pub fn flaw(&self) -> Option<Flaw> {
        let Settings { n_ctx, n_batch, n_ubatch, .. } = self.settings;
        if self.n_prompt == 0 && self.n_gen == 0 {
            return Some(Flaw::NothingTimed);
        }
        if n_ubatch > n_batch {
            return Some(Flaw::MicroBatchTooLarge { n_ubatch, n_batch });
        }
        match n_ctx {
            Auto::Fixed(n_ctx) if n_ctx < self.n_ctx_needed() => Some(Flaw::ContextTooSmall {
                n_ctx,
                n_depth: self.n_depth,
                n_prompt: self.n_prompt,
                n_gen: self.n_gen,
            }),
            _ => None,
        }
    }
}

/// Why a point of a matrix cannot be measured by any engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Neither prefill nor decode.
    #[error(
        "n_prompt = 0 and n_gen = 0 meet: nothing would be timed\n\
         hint: give one of them, put pp and tg in two [[matrix]] blocks, or exclude the pair"
    )]
    NothingTimed,
    /// The physical batch exceeds the logical one.
    #[error(
        "n_ubatch = {n_ubatch} exceeds n_batch = {n_batch}, allowed are at most as many\n\
         hint: raise n_batch"
    )]
    MicroBatchTooLarge {
        /// Physical batch.
        n_ubatch: u32,
        /// Logical batch.
        n_batch: u32,
    },
    /// The KV cache would overflow.
    #[error(
        "n_ctx = {n_ctx} is too small: n_depth {n_depth} + n_prompt {n_prompt} + n_gen {n_gen} \
         need {}\nhint: leave n_ctx out, it becomes what the cell needs",
        u64::from(*n_depth) + u64::from(*n_prompt) + u64::from(*n_gen)
    )]
    ContextTooSmall {
        /// Capacity asked for.
        n_ctx: u32,
        /// Tokens before timing starts.
        n_depth: u32,
        /// Prompt tokens.
        n_prompt: u32,
        /// Decode calls.
        n_gen: u32,
    },
}

impl Flaw {
    /// The axes involved, the likeliest culprit first.
    pub fn axes(&self) -> &'static [&'static str] {
        match self {
            Flaw::NothingTimed => &["n_prompt", "n_gen"],
            Flaw::MicroBatchTooLarge { .. } => &["n_ubatch", "n_batch"],
            Flaw::ContextTooSmall { .. } => &["n_ctx"],
        }
    }
}

impl Axes {
    /// Number of values along every axis on a machine with `n_cpus` CPUs.
    fn lengths(&self, n_cpus: u32) -> [(&'static str, usize); 16] {
        [
            ("engine", self.engine.len()),
            ("model", self.model.len()),
            ("quant", self.quant.len()),
            ("cpus", self.cpus.len()),
            ("n_threads", self.n_threads_on(n_cpus).len()),
            ("n_prompt", self.n_prompt.len()),
            ("n_gen", self.n_gen.len()),
            ("n_depth", self.n_depth.len()),
            ("n_ctx", self.n_ctx.len()),
            ("n_batch", self.n_batch.len()),
            ("n_ubatch", self.n_ubatch.len()),
            ("type_kv", self.type_kv.len()),
            ("flash_attn", self.flash_attn.len()),
            ("load_mode", self.load_mode.len()),
            ("backend_device", self.backend_device.len()),
            ("n_gpu_layers", self.n_gpu_layers.len()),
        ]
    }

    /// The values of `n_threads` on a machine with `n_cpus` CPUs, each once.
    fn n_threads_on(&self, n_cpus: u32) -> Vec<Auto<u32>> {
        let mut values = Vec::new();
        for value in self.n_threads.iter().flat_map(|threads| threads.on(n_cpus)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// How many points the axes span on a machine with `n_cpus` CPUs; `None` when that does not
    /// fit a number.
    pub fn n_points(&self, n_cpus: u32) -> Option<usize> {
        self.lengths(n_cpus).into_iter().try_fold(1usize, |product, (_, n)| product.checked_mul(n))
    }

    /// An axis without values, if there is one.
    pub fn empty_axis(&self) -> Option<&'static str> {
        self.lengths(1).into_iter().find(|(_, n)| *n == 0).map(|(axis, _)| axis)
    }

    /// Every point on a machine with `n_cpus` CPUs, the model varying slowest, the depth fastest.
    pub fn points(&self, n_cpus: u32) -> Vec<Point> {
        let origin = Point {
            engine: String::new(),
            model: String::new(),
            quant: String::new(),
            cpus: String::new(),
            n_prompt: 0,
            n_gen: 0,
            n_depth: 0,
            settings: Settings::default(),
        };
        let points = cross(vec![origin], &self.model, |p, v| p.model.clone_from(v));
        let points = cross(points, &self.quant, |p, v| p.quant.clone_from(v));
        let points = cross(points, &self.engine, |p, v| p.engine.clone_from(v));
        let points = cross(points, &self.backend_device, |p, v| {
            p.settings.backend_device.clone_from(v);
        });
        let points = cross(points, &self.n_gpu_layers, |p, v| p.settings.n_gpu_layers = *v);
        let points = cross(points, &self.load_mode, |p, v| p.settings.load_mode = *v);
        let points = cross(points, &self.cpus, |p, v| p.cpus.clone_from(v));
        let points = cross(points, &self.n_threads_on(n_cpus), |p, v| p.settings.n_threads = *v);
        let points = cross(points, &self.flash_attn, |p, v| p.settings.flash_attn = *v);
        let points = cross(points, &self.type_kv, |p, v| {
            (p.settings.type_k, p.settings.type_v) = *v;
        });
        let points = cross(points, &self.n_ctx, |p, v| p.settings.n_ctx = *v);
        let points = cross(points, &self.n_batch, |p, v| p.settings.n_batch = *v);
        let points = cross(points, &self.n_ubatch, |p, v| p.settings.n_ubatch = *v);
        let points = cross(points, &self.n_prompt, |p, v| p.n_prompt = *v);
        let points = cross(points, &self.n_gen, |p, v| p.n_gen = *v);
        cross(points, &self.n_depth, |p, v| p.n_depth = *v)
    }
}

/// Every point once with every value.
fn cross<T>(points: Vec<Point>, values: &[T], set: impl Fn(&mut Point, &T)) -> Vec<Point> {
    let mut crossed = Vec::with_capacity(points.len() * values.len());
    for point in points {
        for value in values {
            let mut point = point.clone();
            set(&mut point, value);
            crossed.push(point);
        }
    }
    crossed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_span_as_many_points_as_they_say_and_no_point_twice() {
        let axes = Axes {
            engine: vec!["reference".into(), "llama-cpp".into()],
            model: vec!["m".into()],
            quant: vec!["F16".into(), "Q8_0".into()],
            n_gen: vec![1, 2, 3],
            type_kv: vec![(GgmlType::F16, GgmlType::F16), (GgmlType::Q8_0, GgmlType::F16)],
            ..Axes::default()
        };
        let points = axes.points(1);
        assert_eq!(Some(points.len()), axes.n_points(1));
        assert_eq!(points.len(), 24);
        assert!(points.iter().enumerate().all(|(i, p)| !points[..i].contains(p)));
        assert_eq!(Axes::default().points(1).len(), 0);
    }
}
