#include "text/long_documents.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera::text {

namespace {

std::size_t length(const Document& document) {
  return document.tokens.size();
}

[[noreturn]] void refuse(const Dataset& data, std::size_t limit) {
  const auto& documents = data.documents;
  const auto& longest = *std::max_element(
      documents.begin(), documents.end(), [](const auto& a, const auto& b) {
        return length(a) < length(b);
      });
  reject(
      "dataset",
      "expected at most {} tokens a document; got {} of {} documents with "
      "more, "
      "the longest of {} ({}:{}); raise --max-seq-length, or choose --long "
      "split "
      "or --long truncate",
      limit,
      data.long_documents,
      documents.size(),
      length(longest),
      data.file.string(),
      longest.line);
}

// Tokens [begin, begin + count) as a document of their own.
Document piece(const Document& whole, std::size_t begin, std::size_t count) {
  const auto from = whole.tokens.begin() + static_cast<std::ptrdiff_t>(begin);
  Document part;
  part.tokens.assign(from, from + static_cast<std::ptrdiff_t>(count));
  part.line = whole.line;
  const auto first = static_cast<std::int32_t>(begin);
  const auto size = static_cast<std::int32_t>(count);
  for (const auto& span : whole.context) {
    const auto start = std::max(span.begin - first, 0);
    const auto stop = std::min(span.end - first, size);
    if (start < stop) {
      part.context.push_back({start, stop});
    }
  }
  return part;
}

} // namespace

Dataset fit_documents(Dataset data, std::int32_t limit, LongDocuments how) {
  const auto most = static_cast<std::size_t>(limit);
  const auto is_long = [&](const Document& d) {
    return limit > 0 && length(d) > most;
  };
  data.long_documents = static_cast<std::size_t>(
      std::count_if(data.documents.begin(), data.documents.end(), is_long));
  if (data.long_documents == 0) {
    return data;
  }
  if (how == LongDocuments::error) {
    refuse(data, most);
  }
  std::vector<Document> fitting;
  for (Document& document : data.documents) {
    if (!is_long(document)) {
      fitting.push_back(std::move(document));
      continue;
    }
    const auto size = length(document);
    if (how == LongDocuments::truncate) {
      fitting.push_back(piece(document, 0, most));
      data.cut_tokens += static_cast<std::int64_t>(size - most);
      continue;
    }
    for (std::size_t begin = 0; begin + 1 < size; begin += most - 1) {
      fitting.push_back(piece(document, begin, std::min(most, size - begin)));
    }
  }
  data.documents = std::move(fitting);
  return data;
}

} // namespace tessera::text
