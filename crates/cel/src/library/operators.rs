//! What operators take and give. The machine runs them.

/// Symbols and the signatures that they share.
pub(crate) const SIGNATURES: [(&[&str], &[&str]); 7] = [
    (
        &["+"],
        &[
            "(int,int)->int",
            "(uint,uint)->uint",
            "(double,double)->double",
            "(string,string)->string",
            "(bytes,bytes)->bytes",
            "(list<A>,list<A>)->list<A>",
            "(timestamp,duration)->timestamp",
            "(duration,timestamp)->timestamp",
            "(duration,duration)->duration",
        ],
    ),
    (
        &["-"],
        &[
            "(int,int)->int",
            "(uint,uint)->uint",
            "(double,double)->double",
            "(timestamp,timestamp)->duration",
            "(timestamp,duration)->timestamp",
            "(duration,duration)->duration",
        ],
    ),
    (&["*", "/"], &["(int,int)->int", "(uint,uint)->uint", "(double,double)->double"]),
    (&["%"], &["(int,int)->int", "(uint,uint)->uint"]),
    (&["==", "!="], &["(A,A)->bool"]),
    (&["in"], &["(A,list<A>)->bool", "(A,map<A,B>)->bool"]),
    (
        &["<", "<=", ">", ">="],
        &[
            "(bool,bool)->bool",
            "(string,string)->bool",
            "(bytes,bytes)->bool",
            "(duration,duration)->bool",
            "(timestamp,timestamp)->bool",
            "(int,int)->bool",
            "(int,uint)->bool",
            "(int,double)->bool",
            "(uint,int)->bool",
            "(uint,uint)->bool",
            "(uint,double)->bool",
            "(double,int)->bool",
            "(double,uint)->bool",
            "(double,double)->bool",
        ],
    ),
];
