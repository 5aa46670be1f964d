#include "train/run/digest.h"

#include <xxhash.h>

#include <fstream>
#include <new>
#include <vector>

#include "tessera/error.h"

namespace tessera::train {

void Digest::Free::operator()(XXH3_state_s* state) const {
  XXH3_freeState(state);
}

Digest::Digest() : state_(XXH3_createState()) {
  if (state_ == nullptr || XXH3_128bits_reset(state_.get()) == XXH_ERROR) {
    throw std::bad_alloc();
  }
}

void Digest::add(std::string_view bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

void Digest::add(std::uint64_t word) {
  XXH3_128bits_update(state_.get(), &word, sizeof word);
}

std::string Digest::text() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string digest_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> bytes(std::size_t{1} << 20);
  Digest digest;
  while (stream) {
    stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    digest.add({bytes.data(), static_cast<std::size_t>(stream.gcount())});
  }
  if (!stream.eof()) {
    reject("finetune", "expected a readable file; got {}", file.string());
  }
  return digest.text();
}

} // namespace tessera::train
