//! Prints the engines that this machine can run, one a line, slow before fast: what `JERASURE_ENGINE` may name here.

use jerasure::Engine;

fn main() {
    Engine::available().for_each(|engine| println!("{engine}"));
}
