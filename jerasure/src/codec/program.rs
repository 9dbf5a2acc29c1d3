//! A schedule made ready to run: what a bit matrix does to packets.

use std::mem;
use std::ops::Range;

use smallvec::SmallVec;

use crate::engine::Xor;
use crate::schedule::Schedule;

/// Which packets each output packet is the XOR of, in the order in which they are made.
///
/// Where the C library reads and writes a packet of coding once for each operation, this reads each source once and
/// writes each output once.
#[derive(Debug)]
pub(super) struct Program {
    xor: &'static dyn Xor,
    inputs: usize,
    packet_bytes: usize,
    stripe_bytes: usize,
    steps: Box<[Step]>,
    sources: Box<[Packet]>,
}

/// One output packet and its range of `Program::sources`.
#[derive(Debug)]
struct Step {
    output: Packet,
    sources: Range<usize>,
}

/// A packet of a stripe: inputs are numbered before outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packet {
    shard: usize,
    start: usize,
}

impl Program {
    /// Takes a schedule whose first `inputs` shards are read and the next `outputs` are made.
    pub(super) fn new(
        xor: &'static dyn Xor,
        schedule: &Schedule,
        inputs: usize,
        outputs: usize,
        w: usize,
        packet_bytes: usize,
    ) -> Self {
        let packet = |(shard, packet): (usize, usize)| Packet {
            shard,
            start: packet * packet_bytes,
        };
        let mut is_made = vec![false; outputs * w];
        let mut steps: Vec<Step> = Vec::with_capacity(is_made.len());
        let mut sources: Vec<Packet> = Vec::with_capacity(schedule.operations().len());
        for operation in schedule.operations() {
            let output = packet(operation.to);
            let is_first = !mem::replace(
                &mut is_made[(operation.to.0 - inputs) * w + operation.to.1],
                true,
            );
            assert_eq!(
                is_first, operation.copy,
                "a packet is copied to first, and once"
            );
            if is_first {
                let sources = sources.len()..sources.len();
                steps.push(Step { output, sources });
            }
            let step = steps.last_mut().expect("the first operation copies");
            assert_eq!(step.output, output, "a packet is made without a break");
            sources.push(packet(operation.from));
            step.sources.end = sources.len();
        }
        // A row of zeros has no operations in a schedule. Its packet is the sum of nothing.
        for number in (0..is_made.len()).filter(|&number| !is_made[number]) {
            let output = packet((inputs + number / w, number % w));
            steps.push(Step {
                output,
                sources: 0..0,
            });
        }
        Self {
            xor,
            inputs,
            packet_bytes,
            stripe_bytes: w * packet_bytes,
            steps: steps.into(),
            sources: sources.into(),
        }
    }

    /// Makes all outputs; every shard has the same whole number of stripes.
    pub(super) fn run(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert_eq!(inputs.len(), self.inputs);
        let bytes = inputs.first().map_or(0, |input| input.len());
        assert!(bytes.is_multiple_of(self.stripe_bytes));
        for stripe in (0..bytes).step_by(self.stripe_bytes) {
            for step in &self.steps {
                self.step(step, stripe, inputs, outputs);
            }
        }
    }

    fn step(&self, step: &Step, stripe: usize, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let number = step.output.shard - self.inputs;
        let start = stripe + step.output.start;
        // The shard that is written may be read in other packets: it is taken out, and cut at the packet.
        let shard = mem::take(&mut outputs[number]);
        let (before, rest) = shard.split_at_mut(start);
        let (target, after) = rest.split_at_mut(self.packet_bytes);
        let packet = |source: &Packet| -> &[u8] {
            let at = stripe + source.start;
            match source.shard.checked_sub(self.inputs) {
                None => &inputs[source.shard][at..][..self.packet_bytes],
                Some(output) if output != number => &outputs[output][at..][..self.packet_bytes],
                Some(_) if at < start => &before[at..][..self.packet_bytes],
                Some(_) => &after[at - start - self.packet_bytes..][..self.packet_bytes],
            }
        };
        let sources = &self.sources[step.sources.clone()];
        let sources: SmallVec<[&[u8]; 32]> = sources.iter().map(packet).collect();
        self.xor.xor_many(target, &sources);
        outputs[number] = shard;
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.steps) + size_of_val(&*self.sources)
    }
}
