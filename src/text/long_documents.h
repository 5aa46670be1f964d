#pragma once

#include "tessera/dataset.h"

namespace tessera::text {

// The data set with no document of more than `limit` tokens; 0: any length.
Dataset fit_documents(Dataset data, std::int32_t limit, LongDocuments how);

} // namespace tessera::text
