#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tessera::train {

// What cannot be written is a WriteError; see model/file.h.

void write_json(const std::filesystem::path& path, const nlohmann::json& json);
// The text of a value; bytes that are not UTF-8, as in a path, become U+FFFD.
std::string text_of(const nlohmann::json& json, int indent = -1);
// An object; InputError with file and line where it is malformed.
nlohmann::json read_json(const std::filesystem::path& path);

// Adds bytes to the end of a file and hands them to the system.
void append_bytes(const std::filesystem::path& path, std::string_view bytes);

// Renames a finished folder; its new name is on disk when this returns.
void publish_folder(
    const std::filesystem::path& from, const std::filesystem::path& to);

// Removes a file, or a folder with all that is in it, where it is there.
void remove_tree(const std::filesystem::path& path);

// Creates a folder and its parents, and checks that files can be made in it.
void make_writable_folder(const std::filesystem::path& folder);

} // namespace tessera::train
