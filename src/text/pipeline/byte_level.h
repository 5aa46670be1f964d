#pragma once

#include <array>
#include <optional>
#include <string>

namespace tessera::text {

// GPT-2's alphabet: a printable character for each byte. Printable Latin-1
// stands for itself, the others follow from U+0100 on.
const std::array<std::string, 256>& byte_letters();

std::optional<unsigned char> byte_of_letter(char32_t letter);

} // namespace tessera::text
