import * as ort from "onnxruntime-web";

const folder = ".";  // the bundle's address
const ids = @IDS@;  // of @PROMPT@, from the tokenizers of the bundle
const sessions = {};

async function run(name, inputs) {
  sessions[name] ??= await ort.InferenceSession.create(`${folder}/${name}/model.onnx`);
  return sessions[name].run(inputs);
}

const floats = (values, dims) => new ort.Tensor("float32", Float32Array.from(values), dims);
const tokens = (tokenizer) => new ort.Tensor("int64", BigInt64Array.from(ids[tokenizer], BigInt), [1, ids[tokenizer].length]);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

function lastButOne(results) {
  const hidden = Object.keys(results).filter((name) => name.startsWith("hidden_states."));
  return results[`hidden_states.${hidden.length - 2}`];
}

function sideBySide(a, b) {
  const [rows, left, right] = [a.dims[1], a.dims[2], b.dims[2]];
  const joined = new Float32Array(rows * (left + right));
  for (let row = 0; row < rows; row++) {
    joined.set(a.data.subarray(row * left, (row + 1) * left), row * (left + right));
    joined.set(b.data.subarray(row * right, (row + 1) * right), row * (left + right) + left);
  }
  return floats(joined, [1, rows, left + right]);
}

@ENCODE@
@CONDITIONS@
const shape = [1, @SHAPE@];
let x = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, normal);
@WALK@
const latents = @LATENTS@;
const { sample } = await run("vae_decoder", { latent_sample: floats(latents, shape) });
const [, , height, width] = sample.dims;
const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
for (let i = 0; i < width * height; i++) {
  for (let channel = 0; channel < 3; channel++) {
    const value = (sample.data[channel * width * height + i] + 1) * 127.5;
    pixels[4 * i + channel] = Math.floor(Math.min(Math.max(value, 0), 255));
  }
}
export { pixels, width };  // in a page: context.putImageData(new ImageData(pixels, width), 0, 0)
