//! Runs one recording on a backend and with the plain loops, from the same inputs, and compares the marked tensors.

use std::{
    cell::{Cell, RefCell},
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    ops::Range,
    sync::Arc,
};

use bimetal::{
    Backend,
    low_level::compute::{
        caps::{Caps, DequantizeFirst},
        cpu::Cpu,
        dtype::{DType, Planes},
        formats::{Blocks, Row, quantize, split},
        memory::Buffer,
        pass::Pass,
        tensor::Tensor,
    },
};
use bytemuck::{cast_slice, pod_collect_to_vec};
use half::{bf16, f16};

use crate::support::{backends as present, backends::Present};

/// NaN in every element type: the contents of outputs before a run, and of inactive rows after it.
const POISON: u32 = 0x7fc0_7fc0;
/// Another NaN, so that reads of it also show.
const SENTINEL: u32 = 0x7fa5_7fa5;
const SENTINEL_BYTES: u64 = 1024;

/// Makes the inputs of a case: the same on every backend, each followed by a sentinel.
pub struct Case {
    backend: Arc<dyn Backend>,
    /// Every buffer, and its size in bytes without the sentinel.
    buffers: RefCell<Vec<(Arc<Buffer>, u64)>>,
}

impl Case {
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, buffers: RefCell::default() }
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Elements spread evenly over a range; the name is the seed.
    pub fn spread(&self, name: &str, shape: [u32; 2], dtype: DType, range: Range<f32>) -> Tensor {
        let mut random = Random::new(name);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.within(&range)).collect();
        self.tensor(shape, dtype, &values)
    }

    /// A norm's weight, as in checkpoints.
    pub fn weight(&self, width: u32, dtype: DType) -> Tensor {
        self.spread("weight", [1, width], dtype, -0.2..0.3)
    }

    /// A tensor of these elements.
    pub fn tensor(&self, shape: [u32; 2], dtype: DType, values: &[f32]) -> Tensor {
        let bytes = match dtype {
            DType::F32 => cast_slice(values).to_vec(),
            DType::F16 => pod_collect_to_vec(&values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()),
            DType::Bf16 => pod_collect_to_vec(&values.iter().map(|v| bf16::from_f32(*v)).collect::<Vec<_>>()),
            DType::U32 | DType::Q8Heads => panic!("{dtype} from floats"),
            _ => quantized(shape, dtype, values),
        };
        self.bytes(shape, dtype, &bytes)
    }

    pub fn words(&self, shape: [u32; 2], words: &[u32]) -> Tensor {
        self.bytes(shape, DType::U32, cast_slice(words))
    }

    /// A tensor of NaN.
    pub fn poisoned(&self, shape: [u32; 2], dtype: DType) -> Tensor {
        let bytes = dtype.size(shape);
        Tensor::over(self.buffer(bytes), shape, dtype)
    }

    fn bytes(&self, shape: [u32; 2], dtype: DType, bytes: &[u8]) -> Tensor {
        let tensor = self.poisoned(shape, dtype);
        assert_eq!(tensor.bytes(), bytes.len() as u64);
        let mut words = bytes.to_vec();
        words.resize(bytes.len().next_multiple_of(4), 0);
        tensor.buffer().write(0, &words).unwrap();
        tensor
    }

    /// `bytes` bytes of NaN and a sentinel.
    fn buffer(&self, bytes: u64) -> Arc<Buffer> {
        let bytes = bytes.next_multiple_of(4);
        let buffer = Buffer::new(&self.backend, bytes + SENTINEL_BYTES, "case").unwrap();
        let mut words = vec![POISON; bytes as usize / 4];
        words.resize((bytes + SENTINEL_BYTES) as usize / 4, SENTINEL);
        buffer.write(0, cast_slice(&words)).unwrap();
        self.buffers.borrow_mut().push((buffer.clone(), bytes));
        buffer
    }

    fn check_sentinels(&self, label: &str) {
        for (at, (buffer, bytes)) in self.buffers.borrow().iter().enumerate() {
            let found = pollster::block_on(buffer.read(*bytes..bytes + SENTINEL_BYTES)).unwrap();
            let kept = cast_slice::<u8, u32>(&found).iter().all(|word| *word == SENTINEL);
            assert!(kept, "{label}: wrote past the end of buffer {at} of {bytes} bytes");
        }
    }
}

/// All planes of quantized weights, with NaN between them.
fn quantized(shape: [u32; 2], dtype: DType, values: &[f32]) -> Vec<u8> {
    let planes = Planes::of(dtype, shape);
    let mut bytes = pod_collect_to_vec(&vec![POISON; planes.bytes as usize / 4]);
    for (row, values) in values.chunks(shape[1] as usize).enumerate() {
        let mut parts = planes.row.map(|bytes| vec![0; bytes]);
        let to = parts.each_mut().map(Vec::as_mut_slice);
        match dtype.is_ggml() {
            true => split(dtype, &blocks(dtype, values), to),
            false => quantize(dtype, values, to).unwrap(),
        }
        planes.row(row).into_iter().zip(&parts).for_each(|(at, part)| bytes[at].copy_from_slice(part));
    }
    bytes
}

/// The f32 values of packed rows; unwritten blocks keep their contents.
fn unpacked(dtype: DType, shape: [u32; 2], bytes: &[u8]) -> Vec<u32> {
    let planes = Planes::of(dtype, shape);
    let row = |row: u32| {
        let planes = planes.row(row as usize).map(|plane| &bytes[plane]);
        let scales: Vec<u32> = pod_collect_to_vec(planes[1]);
        let values = Row { dtype, planes }.to_vec().into_iter().enumerate();
        values
            .map(move |(i, value)| if scales[i / 32 * 4] == POISON { POISON } else { value.to_bits() })
            .collect::<Vec<_>>()
    };
    (0..shape[0]).flat_map(row).collect()
}

/// Blocks of a GGML format that use every bit of codes and scales, with weights as large as `values`.
fn blocks(dtype: DType, values: &[f32]) -> Vec<u8> {
    let Blocks { weights, bytes, .. } = Blocks::of(dtype);
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let block = |values: &[f32]| {
        let seed = values.iter().fold(0, |seed: u32, value| seed.rotate_left(5) ^ value.to_bits());
        let mut random = Random::new(&format!("block {seed}"));
        let mut block: Vec<u8> = (0..bytes).map(|_| random.within(&(0.0..255.99)) as u8).collect();
        let scales: &[(usize, f32)] = match dtype {
            DType::Q4_0 => &[(0, 8.0)],
            DType::Q4K => &[(0, 15.0 * 63.0 / 2.0), (2, 63.0)],
            DType::Q5K => &[(0, 31.0 * 63.0 / 2.0), (2, 63.0)],
            _ => &[(208, 32.0 * 128.0)],
        };
        for (at, max) in scales {
            let scale = f16::from_f32(largest / max * random.within(&(0.5..1.0)));
            block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        block
    };
    values.chunks(weights).flat_map(block).collect()
}

/// The contents of a marked tensor after a run.
#[derive(Clone, PartialEq)]
pub struct Output {
    pub name: String,
    pub shape: [u32; 2],
    pub dtype: DType,
    /// One word per element: the bits of f32, u32 or 16-bit elements, or the f32 bits of packed rows. For quantized
    /// types, all words.
    pub bits: Vec<u32>,
}

impl Output {
    pub fn row(&self, row: u32) -> &[u32] {
        &self.bits[(row * self.shape[1]) as usize..((row + 1) * self.shape[1]) as usize]
    }

    /// Codes and scale bits of each head; `None` for an unwritten head.
    pub fn heads(&self) -> Vec<Option<(Vec<i8>, u32)>> {
        let planes = Planes::of(self.dtype, self.shape);
        let words = |bytes: Range<usize>| &self.bits[bytes.start / 4..bytes.end / 4];
        let head = |row| {
            let [codes, scale, _] = planes.row(row as usize).map(words);
            let untouched = scale[0] == POISON && codes.iter().all(|word| *word == POISON);
            (!untouched).then(|| (cast_slice(codes).to_vec(), scale[0]))
        };
        (0..self.shape[0]).map(head).collect()
    }

    /// Every element.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        self.bits.iter().map(|bits| self.value(*bits))
    }

    fn value(&self, bits: u32) -> f32 {
        match self.dtype {
            DType::F16 => f16::from_bits(bits as u16).to_f32(),
            DType::Bf16 => bf16::from_bits(bits as u16).to_f32(),
            _ => f32::from_bits(bits),
        }
    }

    fn poison(&self) -> u32 {
        if matches!(self.dtype, DType::F16 | DType::Bf16) { POISON & 0xffff } else { POISON }
    }
}

/// Records `op` for these capabilities, runs it on `backend`, and reads its marked tensors.
pub fn outputs(label: &str, backend: &Arc<dyn Backend>, caps: &Caps, op: impl Fn(&Case, &Pass)) -> Vec<Output> {
    let (case, p) = (Case::new(backend.clone()), Pass::new(caps));
    op(&case, &p);
    let recorded = p.finish().on_buffers(|bytes| Ok(case.buffer(bytes))).unwrap();
    let program = backend.load(Pass::replay(caps, &recorded.dispatches)).unwrap_or_else(|e| panic!("{label}: {e}"));
    backend.run(&program).unwrap_or_else(|e| panic!("{label}: {e}"));
    backend.wait().unwrap_or_else(|e| panic!("{label}: {e}"));
    case.check_sentinels(label);
    let read = |mark: &bimetal::low_level::compute::pass::Mark| {
        let bytes = pollster::block_on(mark.read()).unwrap();
        let bits = match mark.dtype {
            DType::F16 | DType::Bf16 => {
                bytes.chunks_exact(2).map(|half| u32::from(u16::from_le_bytes([half[0], half[1]]))).collect()
            }
            DType::Packed(_) => unpacked(mark.dtype, mark.shape, &bytes),
            _ => pod_collect_to_vec(&bytes),
        };
        Output { name: mark.name.clone(), shape: mark.shape, dtype: mark.dtype, bits }
    };
    recorded.marks.iter().map(read).collect()
}

/// Compares the marked tensors of `op` on every backend with the plain loops.
pub fn check(label: &str, op: impl Fn(&Case, &Pass)) {
    check_by(label, op, compare);
}

/// Like [`check`], on devices that few columns fill: there, products share rows and columns as large matrices do
/// elsewhere.
pub fn check_filled(label: &str, op: impl Fn(&Case, &Pass)) {
    check_on(label, &|caps| Some(filled(caps)), op, compare);
}

/// Like [`check`] and [`check_filled`], on devices with packed dot products; software supports them, but slowly.
pub fn check_packed(label: &str, op: impl Fn(&Case, &Pass)) {
    check_on(&format!("{label}, packed"), &|caps| Some(packed(caps)), &op, compare);
    check_on(&format!("{label}, packed and filled"), &|caps| Some(filled(&packed(caps))), &op, compare);
}

/// The same with rows packed between dispatches, only on devices with packed dot products.
pub fn check_rows_packed(label: &str, op: impl Fn(&Case, &Pass)) {
    let able = |caps: &Caps| Some(packed(caps)).filter(|caps| caps.packed_dots);
    check_on(label, &able, &op, compare);
    check_on(&format!("{label}, filled"), &|caps| able(caps).as_ref().map(filled), &op, compare);
}

/// Like [`check`], on devices that dequantize weights to f16 before every prefill product, in small parts.
pub fn check_dequantized(label: &str, op: impl Fn(&Case, &Pass)) {
    check_on(&format!("{label}, dequantized first"), &|caps| Some(dequantizing(caps)), op, compare);
}

/// Capabilities of a device that dequantizes weights to f16 before every prefill product, in small parts.
pub fn dequantizing(caps: &Caps) -> Caps {
    let mut caps = caps.clone();
    caps.tiles.dequantize_first = Some(DequantizeFirst { rows: 1, ..DequantizeFirst::USUAL });
    caps
}

/// Capabilities with packed dot products, if the shaders support them.
pub fn packed(caps: &Caps) -> Caps {
    let packed_dots = caps.backend == "wgpu" && caps.subgroup.is_some_and(|[min_subgroup, _]| min_subgroup >= 4);
    Caps { packed_dots, ..caps.clone() }
}

/// Capabilities of a device that few columns fill.
pub fn filled(caps: &Caps) -> Caps {
    let mut caps = caps.clone();
    caps.tiles.matvec.saturating_lanes = 1;
    caps
}

/// Like [`check`], with another comparison of reference and result, which returns the error.
pub fn check_by(label: &str, op: impl Fn(&Case, &Pass), compare: impl Fn(&str, &Output, &Output) -> f64) {
    check_on(label, &|caps| Some(caps.clone()), op, compare);
}

fn check_on(
    label: &str,
    caps: &dyn Fn(&Caps) -> Option<Caps>,
    op: impl Fn(&Case, &Pass),
    compare: impl Fn(&str, &Output, &Output) -> f64,
) {
    let oracle: Arc<dyn Backend> = Arc::new(Cpu::default());
    for (name, backend) in backends() {
        // Use the backend's tiles for both, so that both run the same dispatches.
        let Some(caps) = caps(backend.caps()) else { continue };
        let wanted = outputs(label, &oracle, &caps, &op);
        let got = outputs(label, &backend, &caps, &op);
        assert!(!wanted.is_empty(), "{label}: nothing marked");
        let error = |(wanted, got): (&Output, &Output)| {
            format!("{} {:.1e}", wanted.name, compare(&format!("{label} on {name}"), wanted, got))
        };
        let errors: Vec<_> = wanted.iter().zip(&got).map(error).collect();
        println!("{label}: {name} against cpu: {}", errors.join(", "));
    }
}

/// RMS(wanted − got) / RMS(wanted), within the bound of the type. Words must be equal, and unwritten elements must stay
/// unwritten.
pub fn compare(label: &str, wanted: &Output, got: &Output) -> f64 {
    let label = format!("{label}: {}", wanted.name);
    let (mut difference, mut size) = (0.0, 0.0);
    for (at, (&want, &found)) in wanted.bits.iter().zip(&got.bits).enumerate() {
        let place = [at as u32 / wanted.shape[1], at as u32 % wanted.shape[1]];
        if wanted.dtype == DType::U32 || want == wanted.poison() {
            assert_eq!(want, found, "{label} at {place:?}");
            continue;
        }
        let (want, found) = (wanted.value(want), got.value(found));
        assert!(!found.is_nan() && !want.is_nan(), "{label} at {place:?}: {found} for {want}");
        // Without any visible key, shaders have a number below all others instead of −∞.
        if want == f32::NEG_INFINITY && found < -1e37 {
            continue;
        }
        difference += f64::from(want - found).powi(2);
        size += f64::from(want).powi(2);
    }
    let error = if difference == 0.0 { 0.0 } else { (difference / size).sqrt() };
    let bound = match wanted.dtype {
        DType::F16 | DType::Bf16 => 2e-3,
        DType::Packed(_) => 1e-4,
        _ => 1e-5,
    };
    assert!(error <= bound, "{label}: error {error:.2e} of at most {bound:.0e}");
    error
}

thread_local! {
    /// Replaces the backends to compare on this thread.
    static INSTEAD: Cell<Option<Vec<Present>>> = const { Cell::new(None) };
}

/// Runs `call` with other backends to compare with the plain loops.
#[cfg(all(unix, feature = "emulator"))]
pub fn instead(backends: Vec<Present>, call: impl FnOnce()) {
    INSTEAD.set(Some(backends));
    call();
    INSTEAD.set(None);
}

/// The backends to compare with the plain loops.
pub fn backends() -> Vec<Present> {
    if let Some(instead) = INSTEAD.take() {
        INSTEAD.set(Some(instead.clone()));
        return instead;
    }
    let mut found: Vec<_> = present::backends().into_iter().filter(|(name, _)| *name != "cpu").collect();
    found.extend(present::opposite());
    #[cfg(all(unix, feature = "emulator", feature = "wgpu"))]
    found.extend(crate::wgsl_on_emulator::backends());
    found
}

/// Random numbers that depend only on a name.
pub struct Random(u64);

impl Random {
    pub fn new(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn within(&mut self, range: &Range<f32>) -> f32 {
        range.start + (range.end - range.start) * ((self.next() >> 40) as f32 / (1u32 << 24) as f32)
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        (self.next() % u64::from(limit)) as u32
    }

    /// 0..count in random order.
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        (1..order.len()).rev().for_each(|i| order.swap(i, self.below(i as u32 + 1) as usize));
        order
    }
}
