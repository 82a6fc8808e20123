//! A project's folder: `project.yaml`, a values file, and `brigade.js` beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pipeline::script;
use runtime::project::{Project, values};

/// The names that a values file may have, the first that exists counts.
const VALUES: [&str; 3] = ["project.yaml", "project.yml", "values.yaml"];

/// What is not copied for jobs: no secrets, no history, nothing that can be made again.
const NOT_SOURCE: [&str; 8] = [
    "project.yaml",
    "project.yml",
    "values.yaml",
    ".git",
    ".brigantine",
    ".env",
    "node_modules",
    "target",
];

/// How much of a folder is copied for jobs, in bytes.
const SOURCE_LIMIT: u64 = 256 * 1024 * 1024;

/// A project and where it was read from.
#[derive(Debug)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// Its values file, which may have any name, and holds secrets.
    values: PathBuf,
    /// The project, with the folder's `brigade.js` as its script if the values have none.
    pub project: Project,
    /// What its author may have meant otherwise.
    pub warnings: Vec<String>,
}

impl Folder {
    /// Reads a project from a folder, or from a values file in it; its Secret will be in `home`.
    pub fn read(path: &Path, home: &str) -> Result<Folder> {
        let (folder, file) = if path.is_file() {
            // The parent of a plain name is an empty path, which no system call takes.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.unwrap_or(Path::new(".")).to_owned(), path.to_owned())
        } else {
            let file = VALUES.iter().map(|name| path.join(name)).find(|file| file.is_file());
            let file = file.with_context(|| {
                format!(
                    "{} has no project.yaml: a project's folder holds a values file of that name, \
                     with at least `project: org/repository`",
                    path.display()
                )
            })?;
            (path.to_owned(), file)
        };
        let text = read(&file)?;
        let (mut project, mut warnings) =
            values::read(&text, home).with_context(|| file.display().to_string())?;
        let names = script::names(&project);
        let script = names.iter().map(|name| folder.join(name)).find(|file| file.is_file());
        let missing = names[0].to_owned();
        if project.default_script.is_empty()
            && let Some(script) = script
        {
            project.default_script = read(&script)?;
        }
        if project.default_script.is_empty() && project.default_script_name.is_empty() {
            warnings.push(format!(
                "there is no {missing} and the values have no defaultScript: nothing will hear its events"
            ));
        }
        let values = folder.join(file.file_name().unwrap_or_default());
        let notifiers = project.notifiers.all().iter();
        warnings.extend(notifiers.flat_map(notify::reporter::unknown_settings));
        Ok(Folder { path: folder, values, project, warnings })
    }

    /// Reads the project that a file of recorded requests belongs to: the nearest folder above it
    /// that holds a values file.
    pub fn of(file: &Path, home: &str) -> Result<Option<Folder>> {
        let file = fs::canonicalize(file).with_context(|| file.display().to_string())?;
        for folder in file.ancestors().skip(1) {
            if folder.join(VALUES[0]).is_file() {
                return Folder::read(folder, home).map(Some);
            }
        }
        Ok(None)
    }

    /// Copies what jobs may see of the folder.
    pub fn copy_source(&self, to: &Path) -> Result<()> {
        let mut left = SOURCE_LIMIT;
        copy(&self.path, to, &self.values, &mut left)
            .with_context(|| format!("copying {} for its jobs", self.path.display()))
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Copies files and folders; links, the values file and whatever else there is are left out.
fn copy(from: &Path, to: &Path, values: &Path, left: &mut u64) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if NOT_SOURCE.iter().any(|hidden| name == *hidden) || from.join(&name) == values {
            continue;
        }
        if kind.is_dir() {
            copy(&entry.path(), &to.join(&name), values, left)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            *left = left.checked_sub(size).with_context(|| {
                let limit = SOURCE_LIMIT / 1024 / 1024;
                format!("the folder holds more than {limit} MiB; is it the right one?")
            })?;
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

#[test]
fn a_folders_script_is_its_projects() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("project.yaml"), "project: a/b\nsharedSecret: s").unwrap();
    fs::write(folder.path().join("brigade.js"), "1").unwrap();
    let read = Folder::read(folder.path(), "default").unwrap();
    assert_eq!((read.project.default_script.as_str(), read.warnings.len()), ("1", 0));
    let by_file = Folder::read(&folder.path().join("project.yaml"), "default").unwrap();
    assert_eq!(by_file.project.default_script, "1");
}

#[test]
fn the_values_script_comes_before_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("project.yaml"), "project: a/b\ndefaultScript: '2'").unwrap();
    fs::write(folder.path().join("brigade.js"), "1").unwrap();
    assert_eq!(Folder::read(folder.path(), "default").unwrap().project.default_script, "2");
}

#[test]
fn a_folder_without_values_is_no_project() {
    let folder = tempfile::tempdir().unwrap();
    let error = Folder::read(folder.path(), "default").unwrap_err().to_string();
    assert!(error.contains("has no project.yaml"), "{error}");
}

#[test]
fn jobs_see_the_source_but_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("src/.git")).unwrap();
    for file in ["project.yaml", ".env", "src/main.c", "src/.git/config"] {
        fs::write(folder.path().join(file), "project: a/b").unwrap();
    }
    let copied = tempfile::tempdir().unwrap();
    let read = Folder::read(folder.path(), "default").unwrap();
    read.copy_source(copied.path()).unwrap();
    assert!(copied.path().join("src/main.c").is_file());
    for hidden in ["project.yaml", ".env", "src/.git"] {
        assert!(!copied.path().join(hidden).exists(), "{hidden}");
    }
}

#[test]
fn jobs_see_no_values_file_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("staging.yaml");
    fs::write(&file, "project: a/b").unwrap();
    fs::write(folder.path().join("main.c"), "").unwrap();
    let copied = tempfile::tempdir().unwrap();
    Folder::read(&file, "default").unwrap().copy_source(copied.path()).unwrap();
    assert!(copied.path().join("main.c").is_file());
    assert!(!copied.path().join("staging.yaml").exists());
}
