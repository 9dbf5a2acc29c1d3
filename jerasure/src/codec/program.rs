//! A schedule run over regions.

use std::mem;

use smallvec::SmallVec;

use crate::engine::Xor;
use crate::schedule::{Packet, Schedule, Step};

/// A schedule with what it takes to run it.
///
/// Where the C library reads and writes a packet of coding once for each operation, this reads each source once and
/// writes each output once.
pub(super) struct Program {
    xor: &'static dyn Xor,
    schedule: Schedule,
    /// Shards below this number are read; the others are made.
    inputs: usize,
    packet_bytes: usize,
    stripe_bytes: usize,
}

impl Program {
    pub(super) fn new(
        xor: &'static dyn Xor,
        schedule: Schedule,
        inputs: usize,
        w: usize,
        packet_bytes: usize,
    ) -> Self {
        Self {
            xor,
            schedule,
            inputs,
            packet_bytes,
            stripe_bytes: w * packet_bytes,
        }
    }

    /// Makes all outputs; every shard has the same whole number of stripes.
    pub(super) fn run(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert_eq!(inputs.len(), self.inputs);
        let bytes = outputs.first().map_or(0, |output| output.len());
        assert!(bytes.is_multiple_of(self.stripe_bytes));
        for stripe in (0..bytes).step_by(self.stripe_bytes) {
            for step in self.schedule.steps() {
                self.step(step, stripe, inputs, outputs);
            }
        }
    }

    fn step(&self, step: Step<'_>, stripe: usize, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let size = self.packet_bytes;
        let address = |packet: Packet| {
            let start = stripe + packet.packet as usize * size;
            (packet.shard as usize, start)
        };
        let (shard, start) = address(step.target);
        let number = shard - self.inputs;
        // The shard that is written may be read in other packets: it is taken out, and cut at the packet.
        let shard = mem::take(&mut outputs[number]);
        let (before, rest) = shard.split_at_mut(start);
        let (target, after) = rest.split_at_mut(size);
        let region = |&source: &Packet| -> &[u8] {
            let (shard, at) = address(source);
            match shard.checked_sub(self.inputs) {
                None => &inputs[shard][at..][..size],
                Some(output) if output != number => &outputs[output][at..][..size],
                Some(_) if at < start => &before[at..][..size],
                Some(_) => &after[at - start - size..][..size],
            }
        };
        {
            let sources: SmallVec<[&[u8]; 64]> = step.sources.iter().map(region).collect();
            self.xor.xor_many(target, &sources);
        }
        outputs[number] = shard;
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.schedule.bytes()
    }
}
