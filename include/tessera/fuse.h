#pragma once

#include <filesystem>
#include <optional>

#include "tessera/lora.h"

namespace tessera {

// W + factor * (A B)^T in place of each adapted W, computed in float32 and
// rounded once to W's dtype. Hu et al., "LoRA" (2021), section 4.1.
Parameters fuse_lora(Parameters base, const Adapter& adapter);

struct FuseOptions {
  // A Hugging Face folder.
  std::filesystem::path model;
  // A folder with an adapter, in mlx-lm's or PEFT's form.
  std::filesystem::path adapter_path;
  // The folder to make: config.json, model.safetensors or shards with their
  // index, tokenizer, template.
  std::filesystem::path save_path;
  // Of the weights written; absent: the one that the base's config.json names,
  // or float32.
  std::optional<mx::Dtype> dtype;
  // A file of weights holds so many bytes at the most; more make shards.
  std::int64_t max_shard_size = max_shard_bytes;
  // Take an adapter that says it was trained on another model.
  bool allow_other_base = false;
};

// Writes the base with the adapter in it as a Hugging Face folder. It is made
// under another name and renamed once it is whole. InputError where save_path
// holds something, or cannot be written.
void fuse(const FuseOptions& options);

} // namespace tessera
