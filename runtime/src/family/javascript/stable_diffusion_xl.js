async function encode() {
  const first = await run("text_encoder", { input_ids: tokens("tokenizer") });
  const second = await run("text_encoder_2", { input_ids: tokens("tokenizer_2") });
  return { encoder_hidden_states: sideBySide(lastButOne(first), lastButOne(second)), text_embeds: second.text_embeds };
}
