#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "model/file.h"

namespace tessera {

// config.json as it lies beside published weights.
inline nlohmann::json published(const std::string& name) {
  const auto file =
      std::filesystem::path(TESSERA_GOLDEN) / "config" / (name + ".json");
  return nlohmann::json::parse(read_file(file, "test"));
}

inline const auto tiny_llama = published("tinyllama-1.1b");
inline const auto llama_2_7b = published("llama-2-7b");
inline const auto llama_3_2_1b = published("llama-3.2-1b");
inline const auto mistral_7b = published("mistral-7b-v0.1");
inline const auto qwen3_0_6b = published("qwen3-0.6b");
inline const auto qwen2_5_half_b = published("qwen2.5-0.5b");

} // namespace tessera
