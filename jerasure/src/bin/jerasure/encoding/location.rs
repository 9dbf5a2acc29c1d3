//! Which encoding a user means by a path.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata::{self, Metadata};
use crate::names::{self, Names};

/// The folder and stem that `path` means, and whether it also gives the extension.
pub(super) fn locate(path: &Path) -> Result<(Names, bool)> {
    if path.is_dir() {
        return Ok((only_metadata(path)?, false));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some(name) = path.file_name() else {
        bail!("{} is neither a folder nor a name", path.display());
    };
    if let Some(stem) = names::stem_of_metadata(name).filter(|_| path.is_file()) {
        return Ok((Names::new(folder, &stem), false));
    }
    let beside = Names::new(folder, name);
    let below = Names::new(&folder.join("Coding"), name);
    for names in [&beside, &below] {
        if names.metadata().exists() {
            return Ok((names.clone(), !names.extension().is_empty()));
        }
    }
    bail!(
        "there is no encoding of {}: neither {} nor {} is there",
        path.display(),
        beside.metadata().display(),
        below.metadata().display()
    )
}

/// The one metadata file of a folder.
fn only_metadata(folder: &Path) -> Result<Names> {
    let mut found: Vec<(OsString, Names)> = Vec::new();
    for entry in list(folder)? {
        if let Some(stem) = names::stem_of_metadata(&entry) {
            // A stem never has a dot.
            if names::split_at_dot(&stem).1.is_empty() {
                found.push((entry, Names::new(folder, &stem)));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    match &found[..] {
        [] => bail!(
            "{} holds no metadata file (NAME_meta.txt)",
            folder.display()
        ),
        [(_, names)] => Ok(names.clone()),
        [(first, _), (second, _), ..] => bail!(
            "{} holds {} metadata files: name one, such as {} or {}",
            folder.display(),
            found.len(),
            folder.join(first).display(),
            folder.join(second).display()
        ),
    }
}

/// Fills in the extension from the pieces that are there, where the user did not give it. The name in the metadata only
/// chooses among several.
pub(super) fn choose_extension(names: Names, given: bool, found: &Metadata) -> Result<Names> {
    let recorded = names::split_at_dot(&names::from_bytes(found.base_name())).1;
    if given {
        // Pieces of two files with one stem would share the metadata, which can be that of one of them only.
        let given = metadata::recorded(names::bytes(names.extension()));
        if given != metadata::recorded(names::bytes(&recorded)) {
            bail!(
                "{} belongs to {}, not to {}{}",
                names.metadata().display(),
                names::from_bytes(found.base_name()).display(),
                names.stem().display(),
                names.extension().display()
            );
        }
        return Ok(names);
    }
    let mut extensions: Vec<OsString> = list(names.folder())?
        .iter()
        .filter_map(|entry| names.extension_of_piece(entry))
        .collect();
    extensions.sort();
    extensions.dedup();
    let extension = match &extensions[..] {
        [] => bail!(
            "no piece of {} is in {}",
            names.stem().display(),
            show(names.folder()).display()
        ),
        [only] => only.clone(),
        several if several.contains(&recorded) => recorded,
        [first, second, ..] => bail!(
            "pieces {0}_k*{1} and {0}_k*{2} are both there: name the file with its extension",
            names.stem().display(),
            first.display(),
            second.display()
        ),
    };
    Ok(names.with_extension(extension))
}

fn list(folder: &Path) -> Result<Vec<OsString>> {
    let folder = show(folder);
    fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect()
        })
        .with_context(|| format!("cannot list {}", folder.display()))
}

/// The empty path is the working folder.
fn show(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}
