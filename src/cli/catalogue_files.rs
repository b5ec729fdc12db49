//! Models of `models.toml` that are files: where those are, fetched first where the user says so.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::{Ending, Exit, Failure};
use crate::hub::{self, Hub, HubError, HubFile};
use crate::model::{CatalogueModel, Origin};
use crate::units::Bytes;

/// The arguments that say which models there are and whence their files come.
#[derive(Debug, Args)]
pub struct ModelFiles {
    /// models.toml to read
    #[arg(long, value_name = "FILE")]
    pub models: Option<PathBuf>,
    /// Fetch files of models.toml from Hugging Face that are not here yet
    #[arg(long)]
    pub download: bool,
}

impl ModelFiles {
    /// The files of `models`, in their order; of a model that is none, nothing. All that are missing
    /// are told, or fetched, before one is opened.
    pub fn find<'m>(
        &self,
        models: &[&'m CatalogueModel],
        quiet: bool,
        interrupted: &AtomicBool,
    ) -> Result<Vec<(&'m CatalogueModel, PathBuf)>, Failure> {
        if self.download {
            hub::check_can_download().or_usage()?;
        }
        let mut sought = Vec::new();
        for model in models {
            let file = match &model.origin {
                Origin::Shape(_) => continue,
                Origin::Path(path) => Sought::at(self.folder().join(path)),
                Origin::HuggingFace { repo, revision, file } => {
                    let revision = revision.as_deref().unwrap_or(hub::MAIN).to_owned();
                    let (repo, file) = (repo.clone(), file.clone());
                    Sought::on_hub(HubFile { repo, revision, file }).or_usage()?
                }
            };
            sought.push((*model, file));
        }
        let missing = sought.iter().filter_map(|(model, file)| match file {
            Sought::Fetchable { .. } if self.download => None,
            file => Some(format!("model `{}`: {}", model.name, file.missing()?)),
        });
        let missing: Vec<String> = missing.collect();
        if !missing.is_empty() {
            return Err(missing.join("\n")).or_usage();
        }
        let found = sought.into_iter().map(|(model, file)| match file {
            Sought::Here(path) | Sought::Nowhere(path) => Ok((model, path)),
            Sought::Fetchable { hub, file, .. } => {
                Ok((model, fetch(&hub, &file, quiet, interrupted)?))
            }
        });
        found.collect()
    }

    /// Paths of a models.toml are seen from its folder; that of the built-in one has none.
    fn folder(&self) -> &Path {
        self.models.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }
}

/// A file that a model is.
enum Sought {
    Here(PathBuf),
    Nowhere(PathBuf),
    Fetchable { hub: Hub, file: HubFile, missing: String },
}

impl Sought {
    fn at(path: PathBuf) -> Sought {
        if path.is_file() { Sought::Here(path) } else { Sought::Nowhere(path) }
    }

    fn on_hub(file: HubFile) -> Result<Sought, HubError> {
        let hub = Hub::of_user()?;
        match hub.find(&file) {
            Ok(path) => Ok(Sought::Here(path)),
            Err(why) => Ok(Sought::Fetchable { hub, file, missing: why.to_string() }),
        }
    }

    fn missing(&self) -> Option<String> {
        match self {
            Sought::Here(_) => None,
            Sought::Nowhere(path) => Some(format!(
                "no file at {}\nhint: `path` is seen from the folder of the models.toml it stands in",
                path.display()
            )),
            Sought::Fetchable { missing, .. } => Some(missing.clone()),
        }
    }
}

/// Fetches a file and says so.
fn fetch(
    hub: &Hub,
    file: &HubFile,
    quiet: bool,
    interrupted: &AtomicBool,
) -> Result<PathBuf, Failure> {
    let mut teller = Teller::new(file, quiet);
    let fetched = hub.download(file, |done, total| {
        teller.tell(done, total);
        match interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    teller.end();
    fetched.map_err(|error| {
        let exit = match error {
            HubError::Stopped { .. } => Exit::Interrupted,
            _ => Exit::Usage,
        };
        Failure { exit, message: error.to_string() }
    })
}

/// Says how far a download is: a bar on a terminal, a line elsewhere, nothing when quiet.
struct Teller {
    what: String,
    bar: Option<ProgressBar>,
    is_due: bool,
}

impl Teller {
    fn new(file: &HubFile, quiet: bool) -> Teller {
        let what = format!("downloading {file}");
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            let form = "{bar:24} {binary_bytes}/{binary_total_bytes}  {msg}  {eta} left";
            bar.set_style(ProgressStyle::with_template(form).expect("a fixed template"));
            bar.set_message(what.clone());
            bar
        });
        let is_due = !quiet && bar.is_none();
        Teller { what, bar, is_due }
    }

    fn tell(&mut self, done: u64, total: u64) {
        if total == 0 {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if self.is_due {
            eprintln!("{}, {}", self.what, Bytes(total));
            self.is_due = false;
        }
    }

    fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if std::mem::take(&mut self.is_due) {
            eprintln!("{}", self.what);
        }
    }
}
