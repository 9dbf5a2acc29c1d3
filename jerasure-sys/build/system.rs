//! Links the distribution's Jerasure and GF-Complete instead of compiling the sources.

/// By pkg-config where it knows them, else by plain names on the linker's path.
pub(crate) fn link() -> Result<(), String> {
    println!("cargo:rerun-if-env-changed=JERASURE_LIB_DIR");
    if let Some(folder) = std::env::var_os("JERASURE_LIB_DIR") {
        println!(
            "cargo:rustc-link-search=native={}",
            std::path::Path::new(&folder).display()
        );
    } else if ["jerasure", "gf_complete"]
        .iter()
        .all(|name| pkg_config::Config::new().probe(name).is_ok())
    {
        return Ok(());
    }
    // Debian's libjerasure-dev brings no .pc file. Its libraries are on the linker's path.
    println!("cargo:rustc-link-lib=Jerasure");
    println!("cargo:rustc-link-lib=gf_complete");
    Ok(())
}
