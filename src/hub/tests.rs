//! Where files are looked for, in folders made up.

use std::collections::BTreeMap;

use super::*;

fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Hub::with(|name| variables.get(name).map(OsString::from))
}

fn file(revision: &str, file: &str) -> HubFile {
    HubFile { repo: "owner/repo".into(), revision: revision.into(), file: file.into() }
}

#[test]
fn the_folder_is_the_one_that_other_programs_use() {
    let all = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/d")];
    for (from, folder) in
        ["/a", "/b/hub", "/c/huggingface/hub", "/d/.cache/huggingface/hub"].iter().enumerate()
    {
        assert_eq!(hub(&all[from..]).unwrap().folder(), Path::new(folder));
    }
    assert_eq!(hub(&[("HF_HOME", ""), ("HOME", "/d")]).unwrap(), hub(&all[3..]).unwrap());
    assert!(matches!(hub(&[]), Err(HubError::NoFolder)));
}

#[test]
fn a_token_comes_from_its_variable_or_else_from_the_file_of_a_login_and_is_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    assert_eq!(hub(&[("HF_HOME", path)]).unwrap().token, None);
    std::fs::write(home.path().join("token"), "of-login\n").unwrap();
    let found = hub(&[("HF_HOME", path), ("HF_HUB_CACHE", "/a")]).unwrap();
    assert_eq!(found.token.as_deref(), Some("of-login"));
    let found = hub(&[("HF_HOME", path), ("HF_TOKEN", "of-variable")]).unwrap();
    assert_eq!(found.token.as_deref(), Some("of-variable"));
    assert!(!format!("{found:?}").contains("of-variable"), "{found:?}");
}

#[test]
fn a_file_is_found_under_its_branch_and_under_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("models--owner--repo");
    let snapshot = repo.join("snapshots/c0ffee");
    std::fs::create_dir_all(snapshot.join("sub")).unwrap();
    std::fs::create_dir_all(repo.join("refs")).unwrap();
    std::fs::write(repo.join("refs/main"), "c0ffee\n").unwrap();
    std::fs::write(snapshot.join("sub/m.gguf"), "").unwrap();
    let hub = hub(&[("HF_HUB_CACHE", folder.path().to_str().unwrap())]).unwrap();
    for revision in ["main", "c0ffee"] {
        let found = hub.find(&file(revision, "sub/m.gguf")).unwrap();
        assert_eq!(found, snapshot.join("sub/m.gguf"));
    }
    let elsewhere = HubFile { repo: "owner/other".into(), ..file("main", "sub/m.gguf") };
    for missing in [file("v2", "sub/m.gguf"), file("main", "sub"), elsewhere] {
        assert!(hub.find(&missing).is_err(), "{missing}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_bytes_that_are_gone_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("models--owner--repo/snapshots/main");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/none", snapshot.join("m.gguf")).unwrap();
    let hub = hub(&[("HF_HUB_CACHE", folder.path().to_str().unwrap())]).unwrap();
    assert!(hub.find(&file("main", "m.gguf")).is_err());
}

#[test]
fn a_file_that_is_not_there_is_named_with_where_it_was_looked_for_and_how_it_is_had() {
    let hub = hub(&[("HF_HUB_CACHE", "/nowhere")]).unwrap();
    let said = hub.find(&file("v2", "m.gguf")).unwrap_err().to_string();
    assert!(said.starts_with("owner/repo@v2:m.gguf is not in /nowhere\nhint: "), "{said}");
    assert!(said.contains("--download"), "{said}");
    assert_eq!(file("main", "m.gguf").to_string(), "owner/repo:m.gguf");
}

#[cfg(not(feature = "download"))]
#[test]
fn a_build_without_a_client_says_so() {
    let hub = hub(&[("HF_HUB_CACHE", "/nowhere")]).unwrap();
    let error = hub.download(&file("main", "m.gguf"), |_, _| ControlFlow::Continue(()));
    assert!(matches!(error, Err(HubError::NotBuilt)));
    assert!(check_can_download().unwrap_err().to_string().contains("--features download"));
}
