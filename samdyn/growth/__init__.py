"""How fast does what lies near an invariant set move away from it, or come back?"""
