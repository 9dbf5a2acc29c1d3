//! Several files that come to their places together or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, TempPath};

use super::{Finished, folder_of};

/// Files that are in their places. Unless kept, they go again, and what they replaced comes back.
#[derive(Default)]
pub(crate) struct Placed(Vec<Place>);

struct Place {
    path: PathBuf,
    /// What was there before.
    old: Option<TempPath>,
}

impl Placed {
    /// Puts one more file in its place. With `replace`, what is there is held until the files are kept.
    pub(crate) fn place(&mut self, file: Finished, replace: bool) -> Result<()> {
        let path = file.place.clone();
        let old = if replace { hold(&path)? } else { None };
        match file.commit(replace) {
            Ok(_) => self.0.push(Place { path, old }),
            Err(error) => {
                if let Some(old) = old {
                    restore(old, &path);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Keeps the files, and removes what they replaced.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        for Place { path, old } in self.0.drain(..).rev() {
            match old {
                Some(old) => restore(old, &path),
                // The first error is the one to tell.
                None => drop(fs::remove_file(path)),
            }
        }
    }
}

/// Puts back what was held.
fn restore(old: TempPath, path: &Path) {
    match fs::rename(&old, path) {
        // Nothing is renamed if both names are of one file: the one of `old` goes here.
        Ok(()) => drop(old),
        // Rather a file too many than one lost.
        Err(_) => drop(old.keep()),
    }
}

/// Gives the file at `path` a second name, if there is one: it stays in its place until another is renamed over it.
fn hold(path: &Path) -> Result<Option<TempPath>> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(None),
        Ok(there) if there.is_dir() => bail!("{} is a folder: remove it", path.display()),
        Ok(_) => {}
    }
    let mut builder = Builder::new();
    builder.prefix(".jerasure-").suffix(".old");
    let folder = folder_of(path);
    let held = builder
        .make_in(folder, |name| fs::hard_link(path, name))
        // Some file systems have no second names, and a file of another user may be denied one.
        .or_else(|_| builder.make_in(folder, |name| fs::rename(path, name)))
        .with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(Some(held.into_temp_path()))
}
