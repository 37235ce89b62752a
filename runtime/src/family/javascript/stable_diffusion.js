async function encode() {
  const { last_hidden_state } = await run("text_encoder", { input_ids: tokens("tokenizer") });
  return { encoder_hidden_states: last_hidden_state };
}
