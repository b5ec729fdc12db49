//! What the cache keeps, makes and removes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::gguf::Gguf;
use crate::model::Catalogue;

fn tiny() -> ModelShape {
    Catalogue::built_in().unwrap().get("tiny-llama").unwrap().clone()
}

fn names(cache: &Cache) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(cache.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

/// Makes a file look as if last used `seconds` ago.
fn age(model: &CachedModel, seconds: u64) {
    let file = OpenOptions::new().write(true).open(model.path()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

#[test]
fn a_model_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().join("a/b"));
    let mut heard = (0, 0);
    let hear = |done, total| {
        heard = (done, total);
        ControlFlow::Continue(())
    };
    let model = cache.obtain(&tiny(), FileMix::Q8_0, 1, hear).unwrap();
    assert!(heard.0 > 0 && heard.0 == heard.1);
    assert!(Gguf::open(model.path()).is_ok());
    assert_eq!(fs::metadata(model.path()).unwrap().len(), model.bytes());
    let again =
        cache.obtain(&tiny(), FileMix::Q8_0, 1, |_, _| panic!("was there already")).unwrap();
    assert_eq!(again.path(), model.path());
    let other = cache.obtain(&tiny(), FileMix::Q8_0, 2, |_, _| ControlFlow::Continue(())).unwrap();
    assert_ne!(other.path(), model.path());
    assert_eq!(names(&cache).len(), 2);
}

#[test]
fn the_longest_unused_goes_first_and_one_in_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let one = Synthesis::new(&tiny(), FileMix::Q4_0, 1).file_len().unwrap();
    let cache = Cache::new(dir.path()).with_limit(3 * one + one / 2);
    let make = |seed| {
        cache.obtain(&tiny(), FileMix::Q4_0, seed, |_, _| ControlFlow::Continue(())).unwrap()
    };
    let held = make(1);
    age(&held, 300);
    let make_and_leave = |seed, seconds| {
        let model = make(seed);
        age(&model, seconds);
        model.path().to_owned()
    };
    let (second, third) = (make_and_leave(2, 200), make_and_leave(3, 100));
    make(4);
    assert!(held.path().exists() && !second.exists() && third.exists());
    // Found again: now the youngest.
    let third = make(3).path().to_owned();
    make(5);
    assert!(third.exists());
    assert_eq!(names(&cache).len(), 3);
}

#[test]
fn a_part_left_behind_is_removed_and_a_damaged_file_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path());
    let name = stem(&tiny(), FileMix::F16, 1);
    fs::write(dir.path().join(format!("{name}.{PART}")), b"half").unwrap();
    fs::write(dir.path().join(format!("other.{PART}")), b"half").unwrap();
    fs::write(dir.path().join(format!("{name}.{WHOLE}")), b"cut").unwrap();
    let model = cache.obtain(&tiny(), FileMix::F16, 1, |_, _| ControlFlow::Continue(())).unwrap();
    assert!(Gguf::open(model.path()).is_ok());
    assert_eq!(names(&cache), [format!("{name}.{WHOLE}")]);
}

#[test]
fn several_at_once_make_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut first = true;
                let cache = Cache::new(dir.path());
                let model = cache.obtain(&tiny(), FileMix::F32, 1, |_, _| {
                    if std::mem::take(&mut first) {
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                    ControlFlow::Continue(())
                });
                assert!(Gguf::open(model.unwrap().path()).is_ok());
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn one_that_is_stopped_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path());
    let mut heard = 0;
    let error = cache.obtain(&tiny(), FileMix::F32, 1, |_, _| {
        heard += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(error, Err(CacheError::Synth(SynthError::Interrupted))));
    assert_eq!(heard, 1);
    assert!(names(&cache).is_empty());
    assert!(cache.obtain(&tiny(), FileMix::F32, 1, |_, _| ControlFlow::Continue(())).is_ok());
}

#[test]
fn a_disk_too_small_is_named_with_what_is_needed_and_free() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path());
    let error = cache.make_room(u64::MAX / 2).unwrap_err();
    assert!(matches!(error, CacheError::DiskFull { .. }));
    let said = error.to_string();
    assert!(said.contains(" free, the model needs ") && said.contains("--cache-dir"), "{said}");
    let full = SynthError::Io(io::ErrorKind::StorageFull.into());
    assert!(matches!(cache.explain(full, 5, dir.path()), CacheError::DiskFull { .. }));
}
