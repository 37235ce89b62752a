//! What a key of a LoRA file holds, by the endings that the programs write.

/// One tensor of a module's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// The matrix that comes second, `[out, rank]`.
    Up,
    /// The matrix that comes first, `[rank, in]` and a convolution's kernel.
    Down,
    /// A Tucker decomposition's core between both, `[rank, rank]` and the kernel.
    Mid,
    /// Both matrices of an embedding, `[width, rank]` and `[rank, entries]`.
    EmbeddingUp,
    EmbeddingDown,
    /// LoHa: two low-rank products, multiplied element by element; the cores of Tucker decompositions.
    HadaW1A,
    HadaW1B,
    HadaW2A,
    HadaW2B,
    HadaT1,
    HadaT2,
    /// LoKr: a Kronecker product whose factors may be low-rank products or Tucker decompositions.
    KronW1,
    KronW1A,
    KronW1B,
    KronW2,
    KronW2A,
    KronW2B,
    KronT2,
    /// The whole difference of a weight.
    Diff,
    /// The same of a norm's scale.
    NormDiff,
    /// Differences of a bias: beside [`Piece::Diff`], of a norm, behind [`Piece::Up`].
    DiffBias,
    NormBias,
    UpBias,
    /// DoRA's lengths of the rows, or of the columns if the shape says so (LyCORIS).
    DoraScale,
    /// DoRA's lengths of the rows (PEFT).
    Magnitude,
    /// The factor is `alpha / rank`.
    Alpha,
}

/// Endings of keys: PEFT, diffusers, kohya, LyCORIS, older diffusers.
const ENDINGS: [(&str, Piece); 38] = [
    (".lora_A.weight", Piece::Down),
    (".lora.down.weight", Piece::Down),
    (".lora_down.weight", Piece::Down),
    (".lora_linear_layer.down.weight", Piece::Down),
    ("_lora.down.weight", Piece::Down),
    (".lora_B.weight", Piece::Up),
    (".lora.up.weight", Piece::Up),
    (".lora_up.weight", Piece::Up),
    (".lora_linear_layer.up.weight", Piece::Up),
    ("_lora.up.weight", Piece::Up),
    (".lora_mid.weight", Piece::Mid),
    (".lora_embedding_A", Piece::EmbeddingDown),
    (".lora_embedding_B", Piece::EmbeddingUp),
    (".hada_w1_a", Piece::HadaW1A),
    (".hada_w1_b", Piece::HadaW1B),
    (".hada_w2_a", Piece::HadaW2A),
    (".hada_w2_b", Piece::HadaW2B),
    (".hada_t1", Piece::HadaT1),
    (".hada_t2", Piece::HadaT2),
    (".lokr_w1", Piece::KronW1),
    (".lokr_w1_a", Piece::KronW1A),
    (".lokr_w1_b", Piece::KronW1B),
    (".lokr_w2", Piece::KronW2),
    (".lokr_w2_a", Piece::KronW2A),
    (".lokr_w2_b", Piece::KronW2B),
    (".lokr_t2", Piece::KronT2),
    (".diff", Piece::Diff),
    (".diff_b", Piece::DiffBias),
    (".w_norm", Piece::NormDiff),
    (".b_norm", Piece::NormBias),
    (".lora_B.bias", Piece::UpBias),
    (".lora_up.bias", Piece::UpBias),
    (".lora.up.bias", Piece::UpBias),
    (".dora_scale", Piece::DoraScale),
    (".lora_magnitude_vector", Piece::Magnitude),
    (".lora_magnitude_vector.weight", Piece::Magnitude),
    (".lora.magnitude_vector.weight", Piece::Magnitude),
    (".alpha", Piece::Alpha),
];

/// Endings that only changes of other kinds have, and what those are called.
const OTHER_KINDS: [(&str, &str); 22] = [
    (".oft_blocks", "OFT or BOFT"),
    (".oft_diag", "OFT"),
    (".oft_r", "OFT"),
    (".oft_R.weight", "OFT"),
    (".boft_R", "BOFT"),
    (".boft_s", "BOFT"),
    (".a1.weight", "GLoRA"),
    (".a2.weight", "GLoRA"),
    (".b1.weight", "GLoRA"),
    (".b2.weight", "GLoRA"),
    (".on_input", "(IA)³"),
    (".ia3_l", "(IA)³"),
    (".vera_lambda_b", "VeRA"),
    (".vera_lambda_d", "VeRA"),
    (".lora_E", "AdaLoRA"),
    (".q_layer.weight", "T-LoRA"),
    (".lambda_layer", "T-LoRA"),
    (".reshape_weight", "a change of a weight's shape"),
    (".set_weight", "a replaced weight"),
    (".matrix_A.0", "SAT's own LoRA"),
    (".matrix_A.1", "SAT's own LoRA"),
    (".matrix_A.2", "SAT's own LoRA"),
];

/// What embeddings that a trainer bundled with its file begin with (OneTrainer).
const BUNDLED: &str = "bundle_emb.";

/// What a key is.
pub(super) enum Key<'a> {
    /// A tensor of a module.
    Piece(&'a str, Piece),
    /// A tensor of a kind of change that is not merged.
    OtherKind(&'static str),
    /// A textual-inversion embedding of this name.
    Embedding(&'a str),
    Unknown,
}

/// Reads a key without the name of its adapter.
pub(super) fn read(key: &str) -> Key<'_> {
    if let Some(embedding) = key.strip_prefix(BUNDLED) {
        return Key::Embedding(embedding.rsplit_once('.').map_or(embedding, |(name, _encoder)| name));
    }
    if let Some((module, piece)) = ENDINGS.iter().find_map(|(ending, piece)| Some((key.strip_suffix(ending)?, *piece))) {
        return Key::Piece(module, piece);
    }
    OTHER_KINDS.iter().find(|(ending, _)| key.ends_with(ending)).map_or(Key::Unknown, |(_, kind)| Key::OtherKind(kind))
}

/// PEFT may put the adapter's name behind the matrix: `….lora_A.default.weight`, `….hada_w1_a.default`.
pub(super) fn without_adapter_name(key: &str) -> String {
    let tail = [".weight", ".bias"].into_iter().find(|tail| key.ends_with(tail)).unwrap_or_default();
    let head = key.strip_suffix(tail).unwrap_or(key);
    let named = head.rsplit_once('.').filter(|(matrix, _)| {
        let matrix = matrix.rsplit('.').next().unwrap_or_default();
        matches!(matrix, "lora_A" | "lora_B" | "lora_embedding_A" | "lora_embedding_B" | "lora_magnitude_vector")
            || matrix.starts_with("hada_")
            || matrix.starts_with("lokr_")
    });
    named.map_or_else(|| key.into(), |(matrix, _)| format!("{matrix}{tail}"))
}
