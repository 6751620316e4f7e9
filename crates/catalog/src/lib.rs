//! Frameworks, requirements, controls and the mappings between them; pure
