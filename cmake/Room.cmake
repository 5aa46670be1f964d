# A room is one folder, one static library, one set of rooms below it that it
# may include from. Include paths travel along these links only, so a header of
# a room that is not linked is not found: the build enforces the layers.

add_library(tessera_flags INTERFACE)
target_compile_options(tessera_flags INTERFACE -Wall -Wextra -Wconversion)
if(TESSERA_WERROR)
  target_compile_options(tessera_flags INTERFACE -Werror)
endif()
if(TESSERA_SANITIZE)
  target_compile_options(
    tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE}
                            -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()

# room(NAME [SOURCES file...] [LINKS target...])
#
# Makes the library tessera_NAME, to be included as "NAME/file.h". A room
# without sources is header-only.
function(room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS" ${ARGN})
  if(ROOM_SOURCES)
    add_library(tessera_${name} STATIC ${ROOM_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(tessera_${name} PRIVATE tessera_flags)
  else()
    add_library(tessera_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(
    tessera_${name} ${scope} ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(tessera_${name} ${scope} ${ROOM_LINKS})
  set_target_properties(tessera_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()
