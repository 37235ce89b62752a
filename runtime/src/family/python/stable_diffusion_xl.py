def encode(text):
    states = []
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        results = run(encoder, input_ids=ids(tokenizer, text))
        states.append(last_but_one(results))
    return {"encoder_hidden_states": np.concatenate(states, axis=2), "text_embeds": results["text_embeds"]}
