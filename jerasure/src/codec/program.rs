//! A schedule run over regions.

use std::mem;

use crate::engine::Xor;
use crate::schedule::{Packet, Schedule, Step};

/// A schedule with what it takes to run it.
///
/// Where the C library reads and writes a packet of coding once for each operation, this reads each source once and
/// writes each output once.
pub(crate) struct Program {
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
            // Packets are cut into columns, so that a column of all packets of a stripe stays in the cache.
            for column in (0..self.packet_bytes).step_by(COLUMN) {
                let width = COLUMN.min(self.packet_bytes - column);
                for step in self.schedule.steps() {
                    self.step(step, stripe + column, width, inputs, outputs);
                }
            }
        }
    }

    fn step(
        &self,
        step: Step<'_>,
        offset: usize,
        width: usize,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) {
        let address = |packet: Packet| {
            let start = offset + packet.packet as usize * self.packet_bytes;
            (packet.shard as usize, start)
        };
        let (shard, start) = address(step.target);
        let number = shard - self.inputs;
        // The shard that is written may be read in other packets: it is taken out, and cut at the packet.
        let shard = mem::take(&mut outputs[number]);
        let (before, rest) = shard.split_at_mut(start);
        let (target, after) = rest.split_at_mut(width);
        let region = |&source: &Packet| -> &[u8] {
            let (shard, at) = address(source);
            match shard.checked_sub(self.inputs) {
                None => &inputs[shard][at..][..width],
                Some(output) if output != number => &outputs[output][at..][..width],
                Some(_) if at < start => &before[at..][..width],
                Some(_) => &after[at - start - width..][..width],
            }
        };
        if width <= SMALL {
            let mut sum = [0; SMALL];
            for source in step.sources {
                for (sum, byte) in sum.iter_mut().zip(region(source)) {
                    *sum ^= byte;
                }
            }
            target.copy_from_slice(&sum[..width]);
        } else {
            let (first, more) = step.sources.split_at(step.sources.len().min(AT_ONCE));
            let mut regions: [&[u8]; AT_ONCE] = [&[]; AT_ONCE];
            for (slot, source) in regions.iter_mut().zip(first) {
                *slot = region(source);
            }
            self.xor.xor_many(target, &regions[..first.len()]);
            for source in more {
                self.xor.xor_add(target, region(source));
            }
        }
        outputs[number] = shard;
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.schedule.bytes()
    }
}

/// Bytes of a packet worked on at a time.
const COLUMN: usize = 2048;

/// Bytes up to which a call of the engine costs more than it saves.
const SMALL: usize = 64;

/// Sources summed in one pass over the target; few packets have more.
const AT_ONCE: usize = 64;
