def encode(text):
    states, pooled = [], []
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        results = run(encoder, input_ids=ids(tokenizer, text))
        states.append(last_but_one(results))
        pooled.append(results["text_embeds"])
    clip = np.concatenate(states, axis=2)
    with open(f"{folder}/model_index.json") as index:
        length = json.load(index).get("_dmdx_max_sequence_length", 256)
    if os.path.isdir(f"{folder}/text_encoder_3"):
        t5 = run("text_encoder_3", input_ids=ids("tokenizer_3", text, max_length=length))["last_hidden_state"]
    else:
        with open(f"{folder}/transformer/config.json") as config:
            t5 = np.zeros((1, length, json.load(config)["joint_attention_dim"]), np.float32)
    clip = np.pad(clip, ((0, 0), (0, 0), (0, t5.shape[2] - clip.shape[2])))
    return {
        "encoder_hidden_states": np.concatenate([clip, t5], axis=1),
        "pooled_projections": np.concatenate(pooled, axis=1),
    }
