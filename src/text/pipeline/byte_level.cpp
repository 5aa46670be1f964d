#include "text/pipeline/byte_level.h"

#include "text/unicode/utf8.h"

namespace tessera::text {

namespace {

struct Alphabet {
  std::array<std::string, 256> letters;
  std::array<std::optional<unsigned char>, 512> bytes;

  Alphabet() {
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      char32_t letter = printable ? byte : next++;
      append_utf8(letters[byte], letter);
      bytes[letter] = static_cast<unsigned char>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet value;
  return value;
}

} // namespace

const std::array<std::string, 256>& byte_letters() {
  return alphabet().letters;
}

std::optional<unsigned char> byte_of_letter(char32_t letter) {
  const auto& bytes = alphabet().bytes;
  return letter < bytes.size() ? bytes[letter] : std::nullopt;
}

} // namespace tessera::text
