use roentgen_tensor::gemm::*; use std::time::Instant;
fn main(){
 for (k,rows,nb,label) in [(64usize,MR*4,1usize,"hot"),(128,MR*4,1,"hot"),(256,MR*2,1,"hot"),(64,MR*4,36,"B 300K"),(64,MR*4,128,"B 1M"),(128,MR*4,128,"B 2M+"),(256,MR*2,256,"B 8M")] {
  let gs=rows*LANES; let la=k/LANES*gs; let a=vec![1.0f32;la*nb]; let b=vec![0.5f32;k*NR*nb]; let mut c=vec![0.0f32;rows*NR*nb];
  let reps=(2_000_000_000usize/(k*rows*NR*2*nb)).max(1); let mut best=0.0f64;
  for _ in 0..5 { let t=Instant::now();
   for _ in 0..reps { for i in 0..nb { multiply_rows(&a[i*la..][..la],gs,&b[i*k*NR..][..k*NR],&mut c[i*rows*NR..][..rows*NR],false); } }
   best=best.max((reps*nb*k*rows*NR*2) as f64/t.elapsed().as_secs_f64()/1e9); }
  println!("rows k={k} rows={rows} nb={nb} {label}: {best:.0} GFLOP/s");
 }
 for (tiles,nb) in [(16usize,1usize),(128,1),(128,64)] {
  let a=vec![1.0f32;tiles*LANES*nb]; let b=vec![0.5f32;tiles*NR*nb]; let mut c=vec![0.0f32;LANES*NR];
  let reps=(2_000_000_000usize/(tiles*LANES*NR*2*nb)).max(1); let mut best=0.0f64;
  for _ in 0..5 { let t=Instant::now();
   for _ in 0..reps { for i in 0..nb { multiply_columns(std::iter::once((&a[i*tiles*LANES..][..tiles*LANES],&b[i*tiles*NR..][..tiles*NR])),&mut c,true); } }
   best=best.max((reps*nb*tiles*LANES*NR*2) as f64/t.elapsed().as_secs_f64()/1e9); }
  println!("cols tiles={tiles} nb={nb}: {best:.0} GFLOP/s");
 }
}
