//! Names the shared library as the one that it stands in for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libJerasure.so.2");
}
