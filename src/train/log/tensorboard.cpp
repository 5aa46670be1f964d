#include "train/log/tensorboard.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "train/run/files.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

// Castagnoli's polynomial, reversed (RFC 3720, appendix B.4).
std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
    }
  }
  return ~crc;
}

template <typename T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, 0);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// As records hold it: a checksum of bytes that hold checksums is weak.
std::string masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return little_endian((crc >> 15 | crc << 17) + 0xa282ead8u);
}

std::string record(std::string_view bytes) {
  const std::string length = little_endian(std::uint64_t{bytes.size()});
  std::string out = length + masked_crc(length);
  return out.append(bytes) + masked_crc(bytes);
}

// Protocol buffers: a field is (number << 3 | wire type), then the value.
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) {
    out += static_cast<char>(value | 0x80);
  }
  return out + static_cast<char>(value);
}

std::string number(int field, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(field) << 3) + varint(value);
}

std::string fixed(int field, double value) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 1) +
      little_endian(value);
}

std::string fixed(int field, float value) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 5) +
      little_endian(value);
}

std::string message(int field, std::string_view bytes) {
  std::string out = varint(static_cast<std::uint64_t>(field) << 3 | 2);
  out += varint(bytes.size());
  return out.append(bytes);
}

// Fields of Event, Summary, Summary.Value and SessionLog.
constexpr int wall_time_field = 1, step_field = 2, file_version_field = 3,
              summary_field = 5, session_log_field = 7;
constexpr int value_field = 1;
constexpr int tag_field = 1, simple_value_field = 2;
constexpr int status_field = 1, status_start = 1;

} // namespace

double now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

std::string first_events(double wall_time, std::int64_t step) {
  const std::string time = fixed(wall_time_field, wall_time);
  return record(time + message(file_version_field, "brain.Event:2")) +
      record(time + number(step_field, static_cast<std::uint64_t>(step)) +
             message(session_log_field, number(status_field, status_start)));
}

std::string event_of(const nlohmann::json& line, double wall_time) {
  const std::string split = line.value("split", "train");
  std::string summary;
  for (const auto& [name, value] : line.items()) {
    if (name == "step" || !value.is_number()) {
      continue;
    }
    const std::string tag = split + "/" + (name == "eval_loss" ? "loss" : name);
    summary += message(
        value_field,
        message(tag_field, tag) +
            fixed(simple_value_field, value.get<float>()));
  }
  const auto step = line.at("step").get<std::uint64_t>();
  return record(
      fixed(wall_time_field, wall_time) + number(step_field, step) +
      message(summary_field, summary));
}

fs::path begin_events(const fs::path& folder, std::int64_t step) {
  make_writable_folder(folder);
  const double time = now();
  fs::path file =
      folder / fmt::format("events.out.tfevents.{:.6f}.tessera", time);
  append_bytes(file, first_events(time, step));
  return file;
}

} // namespace tessera::train
