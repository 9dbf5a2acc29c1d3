//! Finds or compiles the C libraries, and picks the bindings; each step is a module of its own.

#[path = "build/bindings.rs"]
mod bindings;
#[cfg(not(feature = "system"))]
#[path = "build/compile.rs"]
mod compile;
#[cfg(any(not(feature = "system"), feature = "buildtime-bindgen"))]
#[path = "build/sources.rs"]
mod sources;
#[cfg(feature = "system")]
#[path = "build/system.rs"]
mod system;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");

    if let Err(message) = run() {
        // `cargo:error` lines are shown without the noise of a panic and its backtrace.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    #[cfg(any(not(feature = "system"), feature = "buildtime-bindgen"))]
    let sources = sources::Sources::find()?;

    #[cfg(feature = "system")]
    system::link()?;
    #[cfg(not(feature = "system"))]
    compile::compile(&sources)?;

    #[cfg(feature = "buildtime-bindgen")]
    bindings::generate(&sources)?;
    bindings::select()
}
