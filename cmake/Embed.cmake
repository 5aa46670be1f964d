# embed(TARGET FILE NAME)
#
# Makes the text of FILE the constant `std::string_view NAME` of the generated
# header "embedded/NAME.h", for the sources of TARGET. Editing FILE rebuilds.
function(embed target file name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${source} text)
  file(CONFIGURE
    OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.h
    CONTENT "#pragma once\n#include <string_view>\ninline constexpr std::string_view @name@ = R\"embed(@text@)embed\";\n"
    @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
