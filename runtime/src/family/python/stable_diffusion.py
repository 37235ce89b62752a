def encode(text):
    return {"encoder_hidden_states": run("text_encoder", input_ids=ids("tokenizer", text))["last_hidden_state"]}
